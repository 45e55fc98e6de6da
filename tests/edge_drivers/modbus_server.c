/* A Modbus server that is not ours: libmodbus, for the driver's tests.
 *
 * modbus_server tcp PORT        modbus_server rtu PATH
 *
 * Coil 3 is on; input register 0 holds 2301, holding register 100 holds 1234. Says "ready" and serves until it is ended.
 */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void serve(modbus_t *line, modbus_mapping_t *map)
{
    uint8_t request[MODBUS_MAX_ADU_LENGTH];
    for (;;) {
        int size = modbus_receive(line, request);
        if (size > 0)
            modbus_reply(line, request, size, map);
        else if (size == -1)
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int is_tcp = strcmp(argv[1], "tcp") == 0;
    modbus_t *line = is_tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 9600, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(16, 16, 200, 16);
    if (line == NULL || map == NULL)
        return 1;
    map->tab_bits[3] = 1;
    map->tab_input_registers[0] = 2301;
    map->tab_registers[100] = 1234;
    if (!is_tcp) {
        if (modbus_set_slave(line, 1) == -1 || modbus_connect(line) == -1)
            return 1;
        puts("ready");
        fflush(stdout);
        serve(line, map);
        return 0;
    }
    int listening = modbus_tcp_listen(line, 1);
    if (listening == -1)
        return 1;
    puts("ready");
    fflush(stdout);
    while (modbus_tcp_accept(line, &listening) != -1)
        serve(line, map);
    return 0;
}
