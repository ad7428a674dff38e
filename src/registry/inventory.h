/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry holds, read whole for a collection. Inside the registry only. */
#pragma once

#include "base/cancel.h"
#include "base/map.h"
#include "registry/registry_internal.h"

struct held_manifest {
	char *key; /* <repository>@<digest> */
	struct str repository;
	struct digest digest;
	int64_t put;  /* when it was put last: another time when it is put again */
	int64_t told; /* when it was put or last asked for, to the hour */
	bool has_subject;
	struct digest subject;
	struct vec children;               /* of struct digest: config, layers, manifests */
	bool tagged;                       /* by any tag */
	bool named;                        /* by an index of the repository, or its subject is there */
	const struct registry_cache *copy; /* it is one of an upstream's; NULL: it is not. Set by retention */
	bool crowded;                      /* a copy for which there is no room; set by retention */
	bool kept;
	unsigned level; /* of what goes: greater than that of all that list it */
};

struct held_tag {
	char *key; /* <repository>:<tag> */
	struct str repository, tag;
	struct digest digest;
	char *value;       /* of its record: another one when it is set again, to the same digest too */
	int64_t set, told; /* told: when it was set or last asked for, to the hour */
	const struct registry_cache *copy;
	bool crowded, kept;
};

struct inventory {
	struct store *s;
	int64_t generation; /* of the registry when it was read */
	struct vec manifests, tags;
	struct map *index;  /* key of a manifest -> its place + 1 */
	struct vec fresh;   /* of size_t: places of what the last refresh found or saved */
	struct map *sizes;  /* key of SPACE_BLOB -> its bytes; NULL: nobody needs them */
	struct map *copies; /* repositories that are copies of an upstream's -> its name */
};
void inventory_fini(struct inventory *v);
/* An unreadable manifest is an error: what it names cannot be known to be unused. */
MUST_USE struct err *inventory_load(struct store *s, const struct cancel *cancel, struct inventory *out);
/* Sets sizes, if the policy limits the size of copies. */
MUST_USE struct err *inventory_load_sizes(struct inventory *v, const struct registry_policy *p);
/* In a transaction: find the manifests that were put since, or put again, and save them. */
MUST_USE struct err *inventory_refresh(struct inventory *v);
/* m stays, with all that it lists and that is about it, and so on; adds what had not been kept to fresh. */
void inventory_save(struct inventory *v, struct held_manifest *m);
/* NULL if there is none. */
struct held_manifest *inventory_manifest(
	const struct inventory *v, struct str repository, const struct digest *d);

/* retention.c: is it a tag that clients make for what belongs to another manifest ("sha256-<hex>.sig")? */
bool retention_attached(struct str tag, struct digest *subject);
/* Sets kept of all tags and manifests. */
void retention_choose(struct inventory *v, const struct registry_policy *p, const struct map *pinned);
/* retention_size.c: the copies of cache that were asked for since then have room, those before have not. */
int64_t retention_room_since(const struct inventory *v, const struct registry_cache *cache);
/* Why a tag that is not kept goes. Caller frees. */
char *retention_why(const struct registry_policy *p, const struct held_tag *t);
/* Of a manifest without a tag. */
char *retention_why_untagged(const struct held_manifest *m);

/* prune.c */
struct prune {
	struct inventory *v;
	int64_t older_than;
	struct map *named;     /* keys of SPACE_BLOB that a kept manifest of their repository names */
	struct strvec victims; /* keys of SPACE_BLOB */
	size_t next;           /* of victims */
	uint64_t dropped;
};
void prune_fini(struct prune *p);
MUST_USE struct err *prune_choose(struct inventory *v, int64_t grace, struct prune *out);
MUST_USE struct err *prune_apply(struct prune *p, const struct cancel *cancel);
