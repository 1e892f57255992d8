/*
 * vnx: policies - addresses as text, by the rules of inet_pton(), which is no pure C
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/policy/policy-private.h"

/* A decimal number up to @max without leading zeros; NULL, or what follows it. */
static const char *parse_decimal(const char *s, unsigned max, unsigned *value)
{
    const char *start = s;

    for (*value = 0; g_ascii_isdigit(*s); s++) {
        *value = *value * 10 + (*s - '0');
        if (*value > max || (s > start && *start == '0')) {
            return NULL;
        }
    }
    return s > start ? s : NULL;
}

/* RFC 6943 3.1.1, the strict form: four decimal numbers. */
static bool parse_ip4(const char *s, uint8_t addr[4])
{
    for (int i = 0; i < 4; i++) {
        unsigned byte;

        if ((i && *s++ != '.') || !(s = parse_decimal(s, 255, &byte))) {
            return false;
        }
        addr[i] = byte;
    }
    return !*s;
}

/* A group of one to four hexadecimal digits; NULL, or what follows it. */
static const char *parse_group(const char *s, uint8_t group[2])
{
    unsigned value = 0, n;

    for (n = 0; n < 4 && g_ascii_isxdigit(s[n]); n++) {
        value = value << 4 | g_ascii_xdigit_value(s[n]);
    }
    group[0] = value >> 8;
    group[1] = value;
    return n ? s + n : NULL;
}

/* RFC 4291 2.2: eight groups, a run of zeros as "::", the last two as an IPv4 address. */
static bool parse_ip6(const char *s, uint8_t addr[16])
{
    unsigned n = 0;             /* bytes so far */
    int gap = -1;               /* where the run of zeros is */

    if (g_str_has_prefix(s, "::")) {
        gap = 0;
        s += 2;
    }
    while (*s || gap < 0 || (unsigned)gap != n) {
        if (n <= 12 && parse_ip4(s, addr + n)) {
            n += 4;
            break;
        }
        if (n == 16 || !(s = parse_group(s, addr + n))) {
            return false;
        }
        n += 2;
        if (!*s) {
            break;
        }
        if (*s++ != ':') {
            return false;
        }
        if (*s == ':') {
            if (gap >= 0) {
                return false;
            }
            gap = n;
            s++;
        }
    }
    if (gap < 0 ? n != 16 : n == 16) {
        return false;
    }
    if (gap >= 0) {
        memmove(addr + 16 - (n - gap), addr + gap, n - gap);
        memset(addr + gap, 0, 16 - n);
    }
    return true;
}

unsigned vnx_policy_parse_prefix(const char *text, uint8_t addr[16], uint8_t mask[16])
{
    char address[48];           /* the longest IPv6 address has 45 */
    size_t n = strcspn(text, "/");
    unsigned version, len;
    const char *end = "";

    if (n >= sizeof(address)) {
        return 0;
    }
    memcpy(address, text, n);
    address[n] = 0;
    memset(addr, 0, 16);
    memset(mask, 0, 16);
    version = parse_ip4(address, addr) ? 4 : parse_ip6(address, addr) ? 6 : 0;
    len = version == 4 ? 32 : 128;
    if (text[n]) {
        end = parse_decimal(text + n + 1, len, &len);
    }
    if (!version || !end || *end) {
        return 0;
    }
    memset(mask, 0xff, len / 8);
    if (len % 8) {
        mask[len / 8] = 0xff << (8 - len % 8);
    }
    return version;
}
