/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/engine only. */
#pragma once

#include "base/map.h"
#include "dockerfile/frontend.h"
#include "engine/engine.h"
#include "engine/settings.h"
#include "solver/solver.h"

#include <pthread.h>

/*
 * What files made during a build get as their time unless SOURCE_DATE_EPOCH says otherwise:
 * 1980-01-02T00:00:00Z. A constant, not the commit's time: layers then are equal across commits, so that
 * caches and registries share them and a cold build equals a warm one. Not 0, because zip cannot hold dates
 * before 1980 in any time zone.
 */
#define FIXED_EPOCH (INT64_C(315619200) * 1000000000)

struct engine {
	struct settings *settings;
	struct store *store;
	char *home;
	struct remote *remote;
	pthread_mutex_t lock; /* guards remote */
};

/* One build at work. */
struct build {
	struct engine *engine;
	const struct build_request *rq;
	struct executor *ex;
	struct graph *graph;
	struct dockerfile_build file; /* lowered */
	struct buf dockerfile;        /* its text */
	char *dockerfile_path;        /* for messages */
	struct buf ignore;
	char *ignore_path; /* NULL: none was read */
	struct map *pins;  /* definition digest text -> struct source_pin: images whose configs were read */
	struct solve_result *solved;
	struct strvec context_names; /* of local named contexts: "context:NAME" */
	char platform[128];
	int64_t epoch; /* ns */
	int64_t created;
};

/* build_setup.c: locals, executor, Dockerfile text. */
MUST_USE struct err *build_prepare(struct build *b);
/* Parse and lower. */
MUST_USE struct err *build_lower(struct build *b);
void build_fini(struct build *b);
struct solve_options build_solve_options(const struct build *b);

/* pack.c: layers bound for export are packed in the background as soon as their step ends. */
struct packer;
struct packer *packer_new(struct build *b);
void packer_on_result(void *ctx, const struct node *n, const struct snapshot *s);
/* Waits for all; the first failure. Consumes p. */
MUST_USE struct err *packer_finish(struct packer *p);
/* Stops without waiting for more work than is running. NULL is fine. */
void packer_abandon(struct packer *p);

/* assemble.c: config and manifest of what was solved. */
MUST_USE struct err *build_assemble(struct build *b, struct build_result *out);
MUST_USE struct err *build_inputs_digest(struct build *b, struct digest *out);
