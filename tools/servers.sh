#!/bin/sh
# Installs the servers that the integration tests start, where they are missing and this user may.
# Without the right to install, the tests that need them skip and say so; with CI=true they fail.
set -eu

missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v influxd >/dev/null || missing="$missing influxdb"
command -v victoria-metrics >/dev/null || missing="$missing victoria-metrics"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v chromium >/dev/null || missing="$missing chromium"
command -v strace >/dev/null || missing="$missing strace"
# Peers that the languages are tested with: Modbus, CoAP, MQTT, YMODEM, and a C compiler for the firmware's header.
command -v mbpoll >/dev/null || missing="$missing mbpoll"
[ -e /usr/include/modbus/modbus.h ] || missing="$missing libmodbus-dev"
command -v coap-client-notls >/dev/null || missing="$missing libcoap3-bin"
command -v mosquitto_pub >/dev/null || missing="$missing mosquitto-clients"
command -v sb >/dev/null || missing="$missing lrzsz"
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
# The console speaks Chinese; a page without such a font is a page of boxes.
fc-list :lang=zh 2>/dev/null | grep -q . || missing="$missing fonts-wqy-zenhei"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Tests that need$missing will skip: no apt-get here to install them with."
    exit 0
fi
if [ "$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo -n"; else
    echo "Tests that need$missing will skip. To run them: sudo apt-get install$missing"
    exit 0
fi
echo "Installing for the tests:$missing ..."
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -q >/dev/null
# shellcheck disable=SC2086 # one word per package
$root apt-get install -y -q --no-install-recommends $missing >/dev/null
