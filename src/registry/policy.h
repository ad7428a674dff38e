/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine's settings say about the embedded registry (docs/formats.md, "Machine configuration",
 * registry): plain data, made by whoever reads the settings, and the questions asked of it. Unchanged while a
 * registry uses it. Times are ns.
 */
#pragma once

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

/* Which tags of which repositories stay. A tag stays for any of the reasons. */
struct retention_rule {
	struct strvec repositories; /* globs; none: all */
	uint64_t keep_newest;       /* so many images of each repository, by the time their tag was set */
	int64_t keep_younger;       /* tags that were set since; 0: no reason */
	int64_t keep_pulled;        /* tags of images that were asked for since; 0: no reason */
	struct strvec keep_tags;    /* globs */
};

struct registry_quota {
	char *namespace_; /* the first part of a repository's name; "*": all that are not named */
	uint64_t bytes;
};

/* A registry whose content is fetched when it is asked for, and kept. */
struct registry_cache {
	char *upstream;             /* as in references: "docker.io", "registry.example:5000" */
	char *prefix;               /* its repositories are <prefix>/<repository> here */
	struct strvec repositories; /* globs of what may be fetched; none: all */
	int64_t tag_ttl;            /* how long what a tag stands for is not asked for again */
	int64_t keep;               /* how long what nobody asks for stays; 0: for ever */
	uint64_t size;              /* bytes above which what was asked for longest ago goes; 0: no limit */
	int64_t timeout;            /* how long the upstream may be silent */
	bool everything_else;       /* also names that are no repository's here are looked for there */
};

struct registry_policy {
	struct strvec immutable; /* patterns of tags that never move to another image */
	bool sparse;             /* manifests whose parts are not here are taken */
	int64_t grace;           /* how long a blob stays that no manifest names */
	int64_t gc_every;        /* 0: never */
	int64_t scrub_every;     /* each blob is read again in this time; 0: never */
	int64_t untagged;        /* how long a manifest stays that nothing names; 0: for ever */
	struct vec quotas;       /* of struct registry_quota */
	struct vec retention;    /* of struct retention_rule; the first that matches a repository counts */
	struct strvec pinned_in; /* clones whose manifests name images that stay */
	struct vec caches;       /* of struct registry_cache */
};
/* The defaults: release tags are immutable, nothing is deleted, there is no quota. */
void registry_policy_init(struct registry_policy *p);
void registry_policy_fini(struct registry_policy *p);
/* Without any of them, for a later file of settings to say its own. */
void registry_policy_forget_quotas(struct registry_policy *p);
void registry_policy_forget_retention(struct registry_policy *p);
void registry_policy_forget_caches(struct registry_policy *p);

/* '*' any characters, '?' one, "<sha>" an abbreviated (7) or whole (40) commit id; the rest is itself. */
bool policy_match(struct str pattern, struct str text);
bool policy_immutable(const struct registry_policy *p, struct str tag);
/* NULL: all is kept. */
const struct retention_rule *policy_retention(const struct registry_policy *p, struct str repository);
/* Of a namespace; UINT64_MAX when there is none. */
uint64_t policy_quota(const struct registry_policy *p, struct str namespace_);
/* The first part of a repository's name; a view of it. */
struct str policy_namespace(struct str repository);

#define CACHE_DEFAULT_TTL (300 * CLOCK_SECOND)
#define CACHE_DEFAULT_KEEP (30 * 86400 * CLOCK_SECOND)
#define CACHE_DEFAULT_TIMEOUT (30 * CLOCK_SECOND)
/* The cache that a repository belongs to, and its name at the upstream (a view; empty: it is the prefix
 * alone). NULL: it is nobody's copy. */
const struct registry_cache *policy_cache(
	const struct registry_policy *p, struct str repository, struct str *there);
/* Docker Hub has several names; for others it is the name itself. */
const char *policy_upstream_name(const char *name);
bool policy_cache_offers(const struct registry_cache *c, struct str there);
/* The whole name at the upstream (library/ filled in), and the name of the copy here. Caller frees both. */
void policy_copy_names(const struct registry_cache *c, struct str rest, char **there, char **here);
/*
 * Where a valid repository name in a path leads, with the parameter ns (the upstream that a mirror is asked
 * for; NULL or "": none): to a repository of this registry (*cache NULL), or to a copy. False: ns is none of
 * the upstreams, nothing is written.
 */
bool policy_place(const struct registry_policy *p, struct str repository, const char *ns,
	const struct registry_cache **cache, char **there, char **here);
