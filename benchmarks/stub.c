/*
 * Light agents: several addresses answering the benchmark's names the way Consul does, at a
 * small part of its cost, so that the server under test is what limits.
 *
 * Like Consul: AA set, the question's spelling kept, instances shuffled, an OPT (size 1232)
 * when asked with one, NODATA and NXDOMAIN with an SOA of TTL 0, UDP and TCP on one port, TC and
 * as many records as the client has room for when it is UDP and there are more.
 * Known names: web<number below NAMES, any digits>.service.consul. RECORDS says how many A records
 * each has: "3", or "3,10" for 3 of those with an even number and 10 of the others.
 * RA is set on request only: Consul sets it when it has recursors, and dnsmasq caches nothing
 * without it.
 *
 * Usage: stub COUNTERS PORT TTL RA NAMES RECORDS ADDRESS...
 * COUNTERS is a file of two native 64-bit numbers, kept current: queries by UDP, by TCP.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 1500
#define OUT 4096
#define OUT_STREAM 65535
#define OPT 11
#define RECORD 16
#define MAX_FD 4096
#define MAX_RECORDS 4000
#define MAX_SIZES 16

enum kind { NONE, UDP, LISTENER, STREAM };
struct stream {
    size_t have;
    unsigned char data[2 + 65535];
};

static enum kind kinds[MAX_FD];
static struct stream *streams[MAX_FD];
static volatile uint64_t *counters;
static uint32_t ttl;
static int recursion, names, sizes[MAX_SIZES], size_count;
static uint32_t chance = 2463534242;

static unsigned char *put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return at + 2;
}

static unsigned char *put32(unsigned char *at, uint32_t value)
{
    return put16(put16(at, value >> 16), value & 0xffff);
}

/* The number of a benchmark name, -1 for a name in the zone that has no service, -2 elsewhere. */
static int service_of(const char *name)
{
    size_t size = strlen(name);
    char *rest;
    long number;

    if (size < 7 || strcasecmp(name + size - 7, "consul.") != 0)
        return -2;
    if (strncasecmp(name, "web", 3) != 0 || !isdigit((unsigned char)name[3]))
        return -1;
    number = strtol(name + 3, &rest, 10);
    return strcasecmp(rest, ".service.consul.") == 0 && number < names ? (int)number : -1;
}

static unsigned char *put_record(unsigned char *at, unsigned type, uint32_t seconds, unsigned size)
{
    at = put16(put16(at, 0xc00c), type);
    return put16(put32(put16(at, 1), seconds), size);
}

static unsigned char *put_soa(unsigned char *at, size_t zone)
{
    static const unsigned char mail[] = "\2ns\0\12hostmaster";

    at = put16(put16(put16(at, 0xc000 | (unsigned)zone), 6), 1);
    at = put16(put32(at, 0), 5 + 13 + 20);
    memcpy(at, mail, 3);
    at = put16(at + 3, 0xc000 | (unsigned)zone);
    memcpy(at, mail + 4, 11);
    at = put16(at + 11, 0xc000 | (unsigned)zone);
    at = put32(put32(at, 1), 3600);
    return put32(put32(put32(at, 600), 86400), 0);
}

/* A number below `limit`, by chance (xorshift32). */
static unsigned below(unsigned limit)
{
    chance ^= chance << 13;
    chance ^= chance >> 17;
    chance ^= chance << 5;
    return chance % limit;
}

/* The first `room` of a service's `count` addresses, in an order by chance: as Consul does. */
static unsigned char *put_addresses(unsigned char *at, int service, unsigned count, unsigned room)
{
    static uint16_t order[MAX_RECORDS];

    for (unsigned i = 0; i < count; i++)
        order[i] = (uint16_t)i;
    for (unsigned i = 0; i < count && i < room; i++) {
        unsigned other = i + below(count - i);
        uint16_t taken = order[other];

        order[other] = order[i];
        at = put_record(at, 1, ttl, 4);
        at = put32(at, 0x0a000000u | (uint32_t)taken << 12 | ((unsigned)service & 0xfff));
    }
    return at;
}

/* What a client takes by UDP: 512 octets, or what its OPT says, `most` at most. */
static size_t room_of(const unsigned char *query, size_t size, size_t end, size_t most)
{
    size_t said = 512;

    if (query[11] == 1 && end + 5 <= size && query[end] == 0 && query[end + 2] == 41)
        said = (size_t)query[end + 3] << 8 | query[end + 4];
    return said < 512 ? 512 : said < most ? said : most;
}

/* The reply's size, at most `limit`, or 0 when the datagram deserves none. */
static size_t answer(const unsigned char *query, size_t size, unsigned char *reply, size_t limit)
{
    char name[256];
    size_t at = 12, used = 0, zone = 12, end;
    unsigned type, answers = 0, authority = 0, rcode = 0, cut = 0;
    unsigned char *out;
    int service, apex, edns;

    if (size < 17 || size > SIZE || query[2] & 0x80 || query[4] || query[5] != 1)
        return 0;
    while (at < size && query[at] != 0) {
        size_t label = query[at];

        if (label > 63 || at + 1 + label >= size || used + label + 2 > sizeof name)
            return 0;
        zone = at;
        memcpy(name + used, query + at + 1, label);
        used += label;
        name[used++] = '.';
        at += 1 + label;
    }
    end = at + 5;
    if (end > size)
        return 0;
    name[used] = 0;
    type = (unsigned)query[at + 1] << 8 | query[at + 2];
    edns = query[11] == 1;
    memcpy(reply, query, end);
    out = reply + end;
    service = service_of(name);
    apex = strcasecmp(name, "consul.") == 0;
    if (service == -2) {
        rcode = 5;
    } else if (service >= 0 && (type == 1 || type == 255)) {
        unsigned count = (unsigned)sizes[service % size_count], room;

        if (limit < OUT_STREAM)
            limit = room_of(query, size, end, limit);
        room = (unsigned)((limit - end - (edns ? OPT : 0)) / RECORD);
        cut = count > room;
        answers = cut ? room : count;
        out = put_addresses(out, service, count, room);
    } else if (apex && type == 6) {
        out = put_soa(out, zone);
        answers = 1;
    } else {
        rcode = service >= 0 || apex ? 0 : 3;
        out = put_soa(out, zone);
        authority = 1;
    }
    if (edns) {
        *out++ = 0;
        out = put16(put32(put16(put16(out, 41), 1232), 0), 0);
    }
    reply[2] = (unsigned char)(0x80 | (rcode == 5 ? 0 : 0x04) | cut << 1 | (query[2] & 0x79));
    reply[3] = (unsigned char)((recursion ? 0x80 : 0) | rcode);
    put16(put16(put16(reply + 6, answers), authority), edns ? 1 : 0);
    return (size_t)(out - reply);
}

static void serve_udp(int fd)
{
    static unsigned char in[BATCH][SIZE], out[BATCH][OUT];
    static struct sockaddr_storage from[BATCH];
    struct mmsghdr received[BATCH], sent[BATCH];
    struct iovec in_vec[BATCH], out_vec[BATCH];
    int count, replies = 0, done = 0;

    for (int i = 0; i < BATCH; i++) {
        in_vec[i] = (struct iovec){in[i], SIZE};
        received[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof from[i],
            .msg_iov = &in_vec[i], .msg_iovlen = 1};
    }
    count = recvmmsg(fd, received, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        size_t size = answer(in[i], received[i].msg_len, out[replies], OUT);

        counters[0]++;
        if (size == 0)
            continue;
        out_vec[replies] = (struct iovec){out[replies], size};
        sent[replies].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = received[i].msg_hdr.msg_namelen,
            .msg_iov = &out_vec[replies], .msg_iovlen = 1};
        replies++;
    }
    while (done < replies) {
        int n = sendmmsg(fd, sent + done, (unsigned)(replies - done), 0);

        done += n > 0 ? n : 1; /* a datagram that cannot be sent is dropped */
    }
}

static void drop(int fd)
{
    free(streams[fd]);
    streams[fd] = NULL;
    kinds[fd] = NONE;
    close(fd);
}

/* Whole messages that have arrived are answered; a reply that cannot be written at once ends it. */
static void serve_stream(int fd)
{
    struct stream *stream = streams[fd];
    static unsigned char out[2 + OUT_STREAM];
    size_t at = 0;
    ssize_t n = recv(fd, stream->data + stream->have, sizeof stream->data - stream->have, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    stream->have += (size_t)n;
    while (stream->have - at >= 2) {
        size_t size = (size_t)stream->data[at] << 8 | stream->data[at + 1], reply;

        if (stream->have - at < 2 + size)
            break;
        counters[1]++;
        reply = answer(stream->data + at + 2, size, out + 2, OUT_STREAM);
        at += 2 + size;
        if (reply == 0)
            continue;
        put16(out, (unsigned)reply);
        if (send(fd, out, reply + 2, MSG_NOSIGNAL) != (ssize_t)reply + 2) {
            drop(fd);
            return;
        }
    }
    stream->have -= at;
    memmove(stream->data, stream->data + at, stream->have);
}

static void watch(int poll, int fd, enum kind kind)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0 || fd >= MAX_FD || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("epoll_ctl");
        exit(3);
    }
    kinds[fd] = kind;
}

static void serve_listener(int poll, int fd)
{
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK);

    if (client < 0)
        return;
    if (client >= MAX_FD || !(streams[client] = calloc(1, sizeof(struct stream)))) {
        close(client);
        return;
    }
    watch(poll, client, STREAM);
}

static int open_socket(const char *text, int port, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, type == SOCK_STREAM ? sizeof on : 0);
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0
        || (type == SOCK_STREAM && listen(fd, 128) < 0)) {
        perror(text);
        exit(3);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[64];
    int poll = epoll_create1(0), file;

    if (argc < 8) {
        fprintf(stderr, "usage: %s COUNTERS PORT TTL RA NAMES RECORDS ADDRESS...\n", argv[0]);
        return 2;
    }
    file = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, 16) < 0) {
        perror(argv[1]);
        return 3;
    }
    counters = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED) {
        perror("mmap");
        return 3;
    }
    ttl = (uint32_t)atoi(argv[3]);
    recursion = atoi(argv[4]);
    names = atoi(argv[5]);
    for (char *each = strtok(argv[6], ","); each; each = strtok(NULL, ",")) {
        int count = atoi(each);

        if (count < 1 || count > MAX_RECORDS || size_count == MAX_SIZES) {
            fprintf(stderr, "%s: RECORDS\n", argv[0]);
            return 2;
        }
        sizes[size_count++] = count;
    }
    if (size_count == 0)
        return 2;
    for (int i = 7; i < argc; i++) {
        watch(poll, open_socket(argv[i], atoi(argv[2]), SOCK_DGRAM), UDP);
        watch(poll, open_socket(argv[i], atoi(argv[2]), SOCK_STREAM), LISTENER);
    }
    for (;;) {
        int count = epoll_wait(poll, events, 64, -1);

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (kinds[fd] == UDP)
                serve_udp(fd);
            else if (kinds[fd] == LISTENER)
                serve_listener(poll, fd);
            else if (kinds[fd] == STREAM)
                serve_stream(fd);
        }
    }
}
