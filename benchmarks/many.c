/* Asks from many ports, with a window of queries open at each, for some seconds.
 *
 * PORT SOCKETS WINDOW SECONDS NAMES; prints how many were answered, and how many were not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MOST 64

static int sockets[256];
static unsigned char queries[MOST][80], replies[MOST][512];

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void ask(int sock, int window, long *number, int names)
{
    struct mmsghdr messages[MOST] = {0};
    struct iovec parts[MOST];
    for (int i = 0; i < window; i++) {
        unsigned char *at = queries[i];
        long id = ++*number;
        char name[16];
        int length = sprintf(name, "n%ld", id % names), end = 12;
        memcpy(at, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
        at[0] = id >> 8;
        at[1] = id;
        at[end++] = length;
        memcpy(at + end, name, length);
        end += length;
        memcpy(at + end, "\7service\6consul\0\0\1\0\1", 20);
        parts[i] = (struct iovec){at, end + 20};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    sendmmsg(sock, messages, window, 0);
}

static int take(int sock, int window)
{
    int got = 0;
    while (got < window) {
        struct mmsghdr messages[MOST] = {0};
        struct iovec parts[MOST];
        for (int i = 0; i < window - got; i++) {
            parts[i] = (struct iovec){replies[i], sizeof replies[i]};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        int came = recvmmsg(sock, messages, window - got, MSG_WAITFORONE, 0);
        if (came <= 0)
            break;
        got += came;
    }
    return got;
}

int main(int count, char **given)
{
    if (count != 6)
        return 2;
    int several = atoi(given[2]), window = atoi(given[3]), names = atoi(given[5]);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(given[1]))};
    struct timeval patience = {1, 0};
    long number = 0, answered = 0;
    if (several > 256 || window > MOST)
        return 2;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < several; i++) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(sockets[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        connect(sockets[i], (struct sockaddr *)&at, sizeof at);
    }
    for (double end = now() + atof(given[4]); now() < end;) {
        for (int i = 0; i < several; i++)
            ask(sockets[i], window, &number, names);
        for (int i = 0; i < several; i++)
            answered += take(sockets[i], window);
    }
    printf("%ld %ld\n", answered, number - answered);
    return 0;
}
