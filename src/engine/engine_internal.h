/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/engine only. */
#pragma once

#include "base/map.h"
#include "dockerfile/frontend.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
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
	bool evaluate; /* only keys are wanted: nothing runs */
};

/* build_setup.c: what of this machine steps are handed; borrowed from the engine. */
struct host_settings engine_host_settings(const struct engine *e);
/* The epoch that file times and "created" follow when the request does not say: --build-arg, then the
 * environment. */
MUST_USE struct err *engine_source_date_epoch(const struct build_request *rq, int64_t *out, bool *given);

/* build_setup.c: locals, executor, Dockerfile text. */
MUST_USE struct err *build_prepare(struct build *b);
/* Parse and lower. */
MUST_USE struct err *build_lower(struct build *b);
void build_fini(struct build *b);
struct solve_options build_solve_options(const struct build *b);

/* build.c: say so when there is one user id only. */
void build_warn_one_id(const struct build_request *rq);
/* Solve root; packer may be NULL. Caller frees *out. */
struct packer;
MUST_USE struct err *build_solve(
	struct build *b, struct node *root, struct packer *packer, struct solve_result **out);
/* Solve b->file.root, pack its layers, assemble the image. */
MUST_USE struct err *build_make_image(struct build *b, struct build_result *out);

/* assemble.c: the same image under Docker's media types. */
MUST_USE struct err *engine_docker_manifest(struct engine *e, struct descriptor *manifest);

/* recode.c: the same image with each layer compressed with codec (CODEC_NONE: not at all). */
MUST_USE struct err *engine_recode_layers(
	struct engine *e, enum codec codec, const struct transfer_io *io, struct descriptor *manifest);

/* pack.c: layers bound for export are packed in the background as soon as their step ends. */
struct packer *packer_new(struct build *b);
void packer_on_result(void *ctx, const struct node *n, const struct snapshot *s);
/* Waits for all; the first failure. Consumes p. */
MUST_USE struct err *packer_finish(struct packer *p);
/* Stops without waiting for more work than is running. NULL is fine. */
void packer_abandon(struct packer *p);

/* assemble.c: config and manifest of what was solved. */
MUST_USE struct err *build_assemble(struct build *b, struct build_result *out);
MUST_USE struct err *build_inputs_digest(struct build *b, struct digest *out);
/* A label that says when, from which commit or from what an image was made, which its inputs do not. */
bool is_provenance_label(const char *key);
/* Config (changed: its label, layers and history are completed) and manifest of an image over layers (of
 * struct descriptor), into the store. */
struct image_parts {
	json_t *config;
	const struct digest *inputs;
	const struct vec *layers;
	json_t *diff_ids;
	const char *const *annotations; /* "K=V"; may be NULL */
};
MUST_USE struct err *engine_put_image(struct engine *e, const struct image_parts *p,
	struct descriptor *manifest, struct descriptor *config);

/* evaluate.c: of a lowered build. root: what paths of the machine are shown relative to; may be NULL. */
MUST_USE struct err *build_evaluate(struct build *b, const char *root, struct evaluation *out);
/* Of one that was solved; before its image is assembled. */
MUST_USE struct err *build_describe(struct build *b, const char *root, struct evaluation *out);
