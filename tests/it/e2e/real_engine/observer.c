/* An observer as the host sees it: `bin/observer -I ADDRESS -p SQL_PORT -P RPC_PORT ...` in its home. It listens on both
 * ports; what comes on the SQL port goes to the address and port in the file `leads_to` of its home, byte for byte. Its end
 * closes the ports and cuts the sessions.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in leads_to;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in at(const char *address, const char *port)
{
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
        fail("an address");
    return result;
}

static int listening(const char *address, const char *port)
{
    struct sockaddr_in where = at(address, port);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(descriptor, (struct sockaddr *)&where, sizeof where) != 0 || listen(descriptor, 128) != 0)
        fail("listen");
    return descriptor;
}

/* 0 at the end of the stream. */
static int pass(int from, int to)
{
    char bytes[16384];
    ssize_t length = read(from, bytes, sizeof bytes), sent = 0;
    if (length <= 0)
        return 0;
    while (sent < length) {
        ssize_t more = write(to, bytes + sent, (size_t)(length - sent));
        if (more <= 0)
            return 0;
        sent += more;
    }
    return 1;
}

static void *session(void *argument)
{
    int client = (int)(long)argument, engine = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(engine, (struct sockaddr *)&leads_to, sizeof leads_to) == 0) {
        struct pollfd both[2] = {{.fd = client, .events = POLLIN}, {.fd = engine, .events = POLLIN}};
        while (poll(both, 2, -1) > 0) {
            if (both[0].revents && !pass(client, engine))
                break;
            if (both[1].revents && !pass(engine, client))
                break;
        }
    }
    close(client);
    close(engine);
    return NULL;
}

int main(int count, char **arguments)
{
    char address[64], port[16];
    int option, sql, rpc;
    const char *ip = NULL, *sql_port = NULL, *rpc_port = NULL;
    FILE *file;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(count, arguments, "I:p:P:z:n:c:d:")) != -1) {
        if (option == 'I')
            ip = optarg;
        else if (option == 'p')
            sql_port = optarg;
        else if (option == 'P')
            rpc_port = optarg;
    }
    file = fopen("leads_to", "r");
    if (!ip || !sql_port || !rpc_port || !file || fscanf(file, "%63s %15s", address, port) != 2)
        fail("arguments, or the file leads_to");
    fclose(file);
    leads_to = at(address, port);
    rpc = listening(ip, rpc_port);
    sql = listening(ip, sql_port);
    for (;;) {
        struct pollfd both[2] = {{.fd = rpc, .events = POLLIN}, {.fd = sql, .events = POLLIN}};
        int client;
        if (poll(both, 2, -1) <= 0)
            continue;
        if (both[0].revents && (client = accept(rpc, NULL, NULL)) >= 0)
            close(client);
        if (both[1].revents && (client = accept(sql, NULL, NULL)) >= 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, session, (void *)(long)client) == 0)
                pthread_detach(thread);
            else
                close(client);
        }
    }
}
