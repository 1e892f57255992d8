/*
 * vnx: policies as a person reads them, member by member, bit by bit; for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_POLICY_CHECK_H
#define TESTS_POLICY_CHECK_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <vnx/policy.h>

static inline bool oracle_prefix(const char *text, unsigned version, const uint8_t *addr)
{
    char **part = g_strsplit(text, "/", 2);
    unsigned own = strchr(part[0], ':') ? 6 : 4, len = own == 4 ? 32 : 128;
    uint8_t wanted[16];
    bool same = own == version;

    g_assert_cmpint(inet_pton(own == 4 ? AF_INET : AF_INET6, part[0], wanted), ==, 1);
    if (part[1]) {
        len = atoi(part[1]);
    }
    g_strfreev(part);
    for (unsigned bit = 0; same && bit < len; bit++) {
        same = (addr[bit / 8] >> (7 - bit % 8) & 1) == (wanted[bit / 8] >> (7 - bit % 8) & 1);
    }
    return same;
}

static inline bool oracle_number(int64_t wanted, int64_t got)
{
    return wanted == VNX_POLICY_ANY || wanted == got;
}

static inline bool oracle_matches(const VnxPolicySpec *s, const VnxFlowOpening *o, uint64_t bytes,
                           int64_t age_ns)
{
    for (int e = 0; e < 2; e++) {
        int side = e == VNX_SOURCE ? o->opener : !o->opener;

        if (s->prefix[e] &&
            !oracle_prefix(s->prefix[e], o->key->ip_version, o->key->addr[side])) {
            return false;
        }
        if (s->port[e][0] != VNX_POLICY_ANY && (o->key->port[side] < s->port[e][0] ||
                                                o->key->port[side] > s->port[e][1])) {
            return false;
        }
    }
    return oracle_number(s->vlan, o->key->vlan[0]) &&
           oracle_number(s->inner_vlan, o->key->vlan[1]) &&
           oracle_number(s->vni, o->key->vni) &&
           oracle_number(s->ip_version, o->key->ip_version) &&
           oracle_number(s->protocol, o->key->proto) &&
           oracle_number(s->opener, o->opener) && oracle_number(s->dscp, o->dscp) &&
           (s->scope_bytes == VNX_POLICY_ANY || bytes < (uint64_t)s->scope_bytes) &&
           (s->scope_ms == VNX_POLICY_ANY || age_ns < s->scope_ms * 1000000);
}

#endif /* TESTS_POLICY_CHECK_H */
