"""Who has fallen silent, and which alarms another alarm explains: what no single gateway can know, judged in the cloud."""
