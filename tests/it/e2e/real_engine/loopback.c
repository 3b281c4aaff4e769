/* For a program that listens on every address and offers no choice, loaded with it (LD_PRELOAD): what it binds to every
 * address is bound to LOOPBACK_ADDRESS instead, and it does not outlive the thread that started it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

__attribute__((constructor)) static void end_with_the_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int bind(int descriptor, const struct sockaddr *wanted, socklen_t length)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_in instead;
    const char *address = getenv("LOOPBACK_ADDRESS");

    if (!next)
        next = (__typeof__(next))dlsym(RTLD_NEXT, "bind");
    if (!next || !address || !wanted || (wanted->sa_family != AF_INET && wanted->sa_family != AF_UNIX)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    if (wanted->sa_family == AF_INET && length >= sizeof instead) {
        memcpy(&instead, wanted, sizeof instead);
        if (instead.sin_addr.s_addr == htonl(INADDR_ANY)) {
            if (inet_pton(AF_INET, address, &instead.sin_addr) != 1) {
                errno = EADDRNOTAVAIL;
                return -1;
            }
            return next(descriptor, (struct sockaddr *)&instead, sizeof instead);
        }
    }
    return next(descriptor, wanted, length);
}
