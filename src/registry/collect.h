/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Letting go: of tags and manifests that the policy's retention does not keep, then of blobs that no manifest
 * of their repository names, so that the store's gc can take them. May run beside pushes, pulls and deletes,
 * of other processes too: everything is looked at again in the transaction that deletes it.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/map.h"
#include "registry/policy.h"
#include "store/store.h"

struct registry_collect_options {
	const struct registry_policy *policy; /* NULL: the defaults */
	/* Keys "<repository>:<tag>" and "<repository>@<digest>" that stay whatever the rules say. NULL while
	 * the policy has pinned_in means that they are not known: then no tag or manifest is let go. */
	const struct map *pinned;
	bool dry_run;
	/* Told of each tag, and of each manifest that has none, with the reason. May be NULL. */
	void (*report)(void *ctx, const char *name, const char *why);
	void *ctx;
	/* dry_run: gets the names "space/key" of the records that would go. May be NULL. */
	struct map *gone;
};
struct registry_collected {
	uint64_t tags, manifests;
	uint64_t blobs; /* records of a blob in a repository */
};
MUST_USE struct err *registry_collect(struct store *s, const struct registry_collect_options *opt,
	const struct cancel *cancel, struct registry_collected *out);
