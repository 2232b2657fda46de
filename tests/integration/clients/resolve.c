/* How a C program resolves names: getaddrinfo(3), getnameinfo(3) and res_query(3).
 *
 * Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was found,
 * or "error" and what the library calls it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char *gai_name(int code)
{
    switch (code) {
    case EAI_NONAME: return "EAI_NONAME";
    case EAI_AGAIN: return "EAI_AGAIN";
    case EAI_FAIL: return "EAI_FAIL";
    case EAI_SYSTEM: return "EAI_SYSTEM";
#ifdef EAI_NODATA
    case EAI_NODATA: return "EAI_NODATA";
#endif
    default: return gai_strerror(code);
    }
}

static const char *herror_name(int code)
{
    switch (code) {
    case HOST_NOT_FOUND: return "HOST_NOT_FOUND";
    case TRY_AGAIN: return "TRY_AGAIN";
    case NO_DATA: return "NO_DATA";
    case NO_RECOVERY: return "NO_RECOVERY";
    default: return "unknown";
    }
}

static void addresses(const char *name, int family)
{
    struct addrinfo hints = {0}, *found, *one;
    char text[INET6_ADDRSTRLEN];
    int code;

    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    code = getaddrinfo(name, NULL, &hints, &found);
    if (code) {
        printf("error %s\n", gai_name(code));
        return;
    }
    printf("ok");
    for (one = found; one; one = one->ai_next) {
        getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        printf(" %s", text);
    }
    printf("\n");
    freeaddrinfo(found);
}

static void services(const char *name)
{
    static unsigned char reply[65535];
    char target[NS_MAXDNAME];
    ns_msg message;
    ns_rr record;
    int length, at;

    h_errno = 0;
    length = res_query(name, ns_c_in, ns_t_srv, reply, sizeof reply);
    if (length < 0) {
        printf("error %s\n", herror_name(h_errno));
        return;
    }
    if (length > (int)sizeof reply || ns_initparse(reply, length, &message)) {
        printf("error malformed\n");
        return;
    }
    printf("ok");
    for (at = 0; at < ns_msg_count(message, ns_s_an); at++) {
        if (ns_parserr(&message, ns_s_an, at, &record)) {
            printf(" malformed");
            break;
        }
        if (ns_rr_type(record) != ns_t_srv)
            continue;
        dn_expand(ns_msg_base(message), ns_msg_end(message), ns_rr_rdata(record) + 6, target,
            sizeof target);
        printf(" %s:%d", target, ns_get16(ns_rr_rdata(record) + 4));
    }
    printf("\n");
}

static void name_of(const char *address)
{
    struct addrinfo hints = {0}, *found;
    char name[NI_MAXHOST];
    int code;

    hints.ai_flags = AI_NUMERICHOST;
    code = getaddrinfo(address, NULL, &hints, &found);
    if (!code) {
        code = getnameinfo(
            found->ai_addr, found->ai_addrlen, name, sizeof name, NULL, 0, NI_NAMEREQD);
        freeaddrinfo(found);
    }
    if (code)
        printf("error %s\n", gai_name(code));
    else
        printf("ok %s\n", name);
}

int main(void)
{
    char line[1024], kind[16], name[512];

    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%15s %511s", kind, name) != 2)
            printf("error not a question\n");
        else if (!strcmp(kind, "any"))
            addresses(name, AF_UNSPEC);
        else if (!strcmp(kind, "a"))
            addresses(name, AF_INET);
        else if (!strcmp(kind, "aaaa"))
            addresses(name, AF_INET6);
        else if (!strcmp(kind, "srv"))
            services(name);
        else if (!strcmp(kind, "ptr"))
            name_of(name);
        else
            printf("error not a question\n");
        fflush(stdout);
    }
    return 0;
}
