/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upkeep of a store: sweeping what crashes left, collecting what nothing refers to, checking, measuring.
 * Processes: each may run beside builds, pushes and pulls of others.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Remove what dead processes left in tmp, locks and trees. Cheap when there is nothing. */
MUST_USE struct err *store_sweep(struct store *s);

/*
 * What a process was told exists (blob and layer lookups, commits, puts) stays until the process ends or
 * closes the store. One that runs for months calls this now and then to let go of what it was last told of
 * before that time (clock_now() - age); it must not rely on such objects without asking again. See "Store" in
 * docs/formats.md.
 */
MUST_USE struct err *store_lease_trim(struct store *s, int64_t before);

/* Write down when what was looked up was used: it is kept in memory until something else is written. */
MUST_USE struct err *store_note_uses(struct store *s);

/* Zero means default (docs/formats.md): 14 days, 20 GiB of cache, no count limit. */
struct store_gc_options {
	int64_t keep_for;    /* ns since last use that evictable records are kept */
	uint64_t keep_bytes; /* cache size to shrink to, least recently used first */
	uint64_t keep_count; /* evictable records kept */
	bool all;            /* evict everything evictable */
	bool dry_run;        /* count only */
	/* dry_run: as if these records ("space/key") were deleted; NULL: all count */
	const struct map *without;
};
struct store_gc_result {
	uint64_t records, layers, trees, blobs, volumes, bytes;
};
MUST_USE struct err *store_gc(struct store *s, const struct store_gc_options *opt,
	const struct cancel *cancel, struct store_gc_result *out);
/* Give some disk free that was kept aside for collecting on a full one; the end of the next store_gc sets it
 * aside again. False: there was none. */
bool store_reserve_release(struct store *s);

struct store_verify_result {
	uint64_t blobs, blob_bytes, trees, layers, records;
	uint64_t problems; /* each one was reported */
	uint64_t repaired; /* quarantined or dropped so that the next build makes it again */
};
/* Re-hash all blobs, check that what records, layers and links name exists. report gets one line for each
 * problem. Bad blobs are moved to quarantine/ when repair is set, and whatever only a rebuild can restore is
 * forgotten. */
MUST_USE struct err *store_verify(struct store *s, bool repair, const struct cancel *cancel,
	void (*report)(void *ctx, const char *problem), void *ctx, struct store_verify_result *out);

struct strvec;
struct store_scrub_options {
	uint64_t bytes; /* stop after so many; one blob at least */
	const struct cancel *cancel;
	/* Told of each bad blob once it is in quarantine/, and of the records ("space/key") that went with
	 * it. */
	void (*report)(void *ctx, const struct digest *blob, const char *why, const struct strvec *lost);
	void *ctx;
};
/* Verify blobs with repair, a part at a time: those that come after *after (unset: from the first), which is
 * moved on. Adds to out. *end: there are no more. */
MUST_USE struct err *store_scrub(struct store *s, const struct store_scrub_options *opt, struct digest *after,
	struct store_verify_result *out, bool *end);
MUST_USE struct err *store_blob_totals(struct store *s, uint64_t *count, uint64_t *bytes);
/* Partials whose name begins with prefix, those that grow now included. */
MUST_USE struct err *store_partial_totals(
	struct store *s, const char *prefix, uint64_t *count, uint64_t *bytes);

struct store_usage {
	uint64_t blob_count, blob_bytes;
	uint64_t tree_count, tree_bytes;
	uint64_t volume_count, volume_bytes;
	uint64_t record_count;
	uint64_t reclaimable_bytes; /* what gc --all would free */
	uint64_t free_bytes;        /* of the disk */
};
MUST_USE struct err *store_usage(struct store *s, struct store_usage *out);
