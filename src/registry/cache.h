/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pull-through caches of other registries (docs/server.md, "A cache of other registries"): repositories below
 * the prefix of one of the policy's caches are copies, fetched when they are asked for.
 *
 * Content by digest that is here is answered without asking; a tag is asked for again when it is older than
 * its cache's tag_ttl, and answered from here when the upstream cannot tell. What is fetched goes to the
 * first client while it is stored, and to all others that ask meanwhile: never its last byte before it is
 * verified.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "registry/registry.h"
#include "remote/remote.h"

struct registry_caching {
	/* A client for the upstream of c; *out is taken. */
	struct err *(*connect)(void *ctx, const struct registry_cache *c, struct remote **out);
	void *ctx;
	const char *own_name; /* host[:port] that clients know this registry by; NULL: not known. Copied */
};
/* Before it serves, for a policy with caches. ERR_EXISTS when repositories below a prefix are none of its
 * copies: they would be taken for such. */
MUST_USE struct err *registry_cache_start(struct registry *r, const struct registry_caching *how);
/* What still waits for an upstream after so many ns gives up. registry_free ends all downloads. */
void registry_cache_stop(struct registry *r, int64_t grace);

enum cache_result { CACHE_HIT, CACHE_REVALIDATED, CACHE_MISS, CACHE_STALE, CACHE_FAILED, CACHE_RESULTS };
enum cache_error {
	CACHE_NOT_FOUND,
	CACHE_DENIED,
	CACHE_LIMITED, /* 429 */
	CACHE_TIMEOUT,
	CACHE_UNREACHABLE, /* or answers 5xx */
	CACHE_CORRUPT,     /* not what its digest or form says */
	CACHE_OWN,         /* the fault of this registry: its disk, its store */
	CACHE_ERRORS
};
struct registry_cache_counts {
	const char *upstream; /* borrowed, as long as the registry */
	uint64_t requests[CACHE_RESULTS], errors[CACHE_ERRORS];
	uint64_t bytes;     /* that the upstream sent */
	uint64_t downloads; /* at the moment */
};
extern const char *const cache_result_names[CACHE_RESULTS];
extern const char *const cache_error_names[CACHE_ERRORS];
/* Of the i-th cache; false: there is none. Any thread. */
bool registry_cache_counted(const struct registry *r, size_t i, struct registry_cache_counts *out);
