/*
 * TTLs of a reply that grows older where it stands: the twin of `Message.body_with_ttls`. Nothing
 * is read that was not looked at: a reply is gone through with 0 s first.
 */
#include "fast.h"

#define COUNTS 2  /* where the counts stand in a reply without its ID */
#define HEAD 10   /* and where its question does */
#define FIXED 10  /* type, class, TTL and length of a record */
#define TTL_AT 4
#define OPT 41
#define MAX_TTL 0x7FFFFFFFu

void age_ttl(unsigned char *ttl_at, uint32_t seconds)
{
    uint32_t ttl = (uint32_t)fast_read16(ttl_at) << 16 | fast_read16(ttl_at + 2);

    ttl = ttl > MAX_TTL || ttl < seconds ? 0 : ttl - seconds;
    ttl_at[0] = (unsigned char)(ttl >> 24);
    ttl_at[1] = (unsigned char)(ttl >> 16);
    ttl_at[2] = (unsigned char)(ttl >> 8);
    ttl_at[3] = (unsigned char)ttl;
}

/* Where the name at `at` ends; 0 when it does not, or is none. */
static size_t skip_name(const unsigned char *reply, size_t length, size_t at)
{
    while (at < length) {
        unsigned octet = reply[at];

        if (octet == 0)
            return at + 1;
        if (octet >= 0xC0)
            return at + 2 <= length ? at + 2 : 0;
        if (octet > 63)
            return 0;
        at += 1 + octet;
    }
    return 0;
}

int age_reply(unsigned char *reply, size_t length, uint32_t seconds)
{
    size_t at = HEAD;
    unsigned records = 0;

    if (length < HEAD)
        return -1;
    for (unsigned left = fast_read16(reply + COUNTS); left; left--) {
        at = skip_name(reply, length, at);
        if (!at || at + 4 > length)
            return -1;
        at += 4;
    }
    for (int section = 1; section < 4; section++)
        records += fast_read16(reply + COUNTS + 2 * section);
    for (; records; records--) {
        at = skip_name(reply, length, at);
        if (!at || at + FIXED > length)
            return -1;
        if (seconds && fast_read16(reply + at) != OPT)
            age_ttl(reply + at + TTL_AT, seconds);
        at += FIXED + fast_read16(reply + at + FIXED - 2);
        if (at > length)
            return -1;
    }
    return 0;
}
