/* SPDX-License-Identifier: Apache-2.0 */
/* Releasing a container at a commit, and what has been released. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "repo/repo.h"

struct release_request {
	struct repo *repo;
	const char *name;
	const char *ref; /* NULL: HEAD */
	bool dry_run;
	bool force; /* dirty or unpushed, under a tag of another shape */
	/* Only to look at the commit that ref names: it need not be pushed, and of a job without a version
	 * version, tag and reference are NULL. */
	bool unchecked;
	bool no_cache;
	bool allow_insecure; /* as in build_request */
	struct event_stream *events;
	const struct cancel *cancel;
};

/* What one build file of the container at the commit becomes. */
struct release_job {
	enum build_kind kind;
	char *version, *tag;
	char *reference; /* full */
	char *runner;    /* label from cooper.yaml */
	/* after running */
	struct digest digest;
	struct digest inputs;
	bool already; /* was published before with this very digest */
};
struct release_plan {
	struct container container;
	struct commit commit;
	struct repo_config config;
	bool dirty, unpushed, forced;
	char *source_url; /* NULL if there is no remote */
	struct vec jobs;  /* of struct release_job */
};
void release_plan_fini(struct release_plan *p);

/* Everything a dry run shows: nothing is built and nothing leaves the machine. */
MUST_USE struct err *release_plan_make(const struct release_request *rq, struct release_plan *out);

/* A place in the manifests that names an image. */
struct listed_pin {
	char *file;
	uint32_t line;
	char *tag, *digest; /* each may be NULL */
	bool listed;        /* what it names is among the tags */
	bool exists;        /* the registry has its tag, listed or not */
};
struct listed_tag {
	char *tag, *version;
	struct digest digest;
	char revision[41]; /* "" if not known */
	enum provenance provenance;
	char *reason;         /* of UNKNOWN */
	bool same_as_main;    /* not of MAIN: main would build the very same, from equal inputs */
	struct digest inputs; /* the label; unset: it has none, or is not known */
	int64_t created;      /* of the image; 0 unknown */
	uint64_t size;        /* of its layers; 0 unknown */
	struct vec pinned;    /* of const struct listed_pin *, of its container */
};
struct listed_container {
	struct container container;
	char *image;     /* registry/namespace/name */
	struct vec tags; /* of struct listed_tag, newest version first */
	struct vec pins; /* of struct listed_pin, by file and line */
	char *error;     /* the registry could not be asked: why */
};
struct release_listing {
	char *main;            /* the ref that tags are compared with; NULL: there is none */
	struct commit tip;     /* of main */
	int64_t fetched;       /* repo_main_fetched */
	struct vec containers; /* of struct listed_container, by name */
};
void release_listing_fini(struct release_listing *l);
struct release_list_request {
	struct engine *engine;
	struct repo *repo;
	const char *name;            /* NULL: all */
	size_t max;                  /* of tags for each, besides those that are pinned; 0: no limit */
	struct event_stream *events; /* hears which folders are none; may be NULL */
	const struct cancel *cancel;
};
MUST_USE struct err *release_list(const struct release_list_request *rq, struct release_listing *out);
