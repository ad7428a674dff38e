/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a served registry does beside serving, on a thread of its own and with the store opened once more, so
 * that requests never wait for it: collections (retention, blobs without a manifest, the store's gc) and the
 * scrub, which reads every blob again within some time, sets bad ones aside and keeps a finding of each.
 * What fails is logged and tried again when it is due next.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "registry/policy.h"
#include "store/maintain.h"
#include "store/store.h"

struct registry_upkeep_options {
	struct store *served;                 /* whose lease lets go of what clients were told long ago */
	const struct registry_policy *policy; /* borrowed */
	struct store_gc_options gc;           /* limits of what may be evicted */
	/* Gather what manifests pin: keys "<repository>:<tag>" and "<repository>@<digest>". NULL while the
	 * policy has pinned_in: retention waits. On the upkeep's thread. */
	struct err *(*pins)(void *ctx, struct map *out);
	void *ctx;
};
struct registry_upkeep;
MUST_USE struct err *registry_upkeep_start(
	const struct registry_upkeep_options *opt, struct registry_upkeep **out);
struct registry_upkeep_counts {
	uint64_t runs, failures; /* collections */
	uint64_t freed;          /* bytes */
	int64_t ended;           /* when the last one did; 0: none yet */
};
/* Any thread. */
void registry_upkeep_counted(struct registry_upkeep *u, struct registry_upkeep_counts *out);
/* Ends what it is at and waits for it. NULL is fine. */
void registry_upkeep_stop(struct registry_upkeep *u);

/*
 * The scrub as the store remembers it: {"pass":{started,blobs,bytes,problems},"last":{started,ended,...} or
 * null,"findings":[{"digest","at","why","lost":["tag/..."],"healed":bool}]}. healed: the blob was pushed
 * again. Caller decrefs *out.
 */
MUST_USE struct err *registry_scrub_report(struct store *s, json_t **out);
