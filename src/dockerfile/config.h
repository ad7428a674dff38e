/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image config document (OCI image-spec config.md, with Docker's Healthcheck, OnBuild and Shell) while a
 * stage is lowered. Values are shared between copies and replaced, never changed in place.
 */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "dockerfile/names.h"

#include <stdbool.h>
#include <stdint.h>

/* Variables of one stage; a kernel takes far fewer. */
#define STAGE_VARIABLES_MAX 4096

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Stages built on one another share the entries of what they have in common. Lives in the arena. */
struct history {
	const struct history *before;
	const char *created, *created_by, *author, *comment; /* NULL: absent */
	uint32_t line;                                       /* of the file; 0: of the base image */
	bool empty;
};

struct stage_config {
	struct arena *arena;           /* borrowed */
	json_t *top;                   /* author, architecture, os, variant, os.version, os.features */
	json_t *config;                /* of "config", but for Env */
	const struct history *history; /* the last one */
	struct strvec env;
	size_t layers; /* entries of history with a layer; base layers counted */
	uint32_t line; /* of the instruction at work: what entries of history get */
};

void stage_config_fini(struct stage_config *c);
/* The empty image. */
void stage_config_scratch(struct stage_config *c, struct arena *a, const struct platform *p);
/* From a base image's document: foreign bytes. Its history gets an entry for each layer that lacks one. */
MUST_USE struct err *stage_config_load(
	struct stage_config *c, struct arena *a, struct str text, const char *what);
/* Architecture and system, where a document does not say them. */
void stage_config_default_platform(struct stage_config *c, const struct platform *p);
void stage_config_copy(const struct stage_config *from, struct stage_config *to);

void stage_config_set(struct stage_config *c, const char *key, json_t *value); /* takes value; NULL removes */
/* Add to the object or the list that key is. */
void stage_config_add_key(struct stage_config *c, const char *key, const char *name, json_t *value);
void stage_config_add_item(struct stage_config *c, const char *key, json_t *value);
const char *stage_config_text(const struct stage_config *c, const char *key); /* "" if absent; borrowed */
/* The list under key as strings, appended. */
void stage_config_list(const struct stage_config *c, const char *key, struct strvec *out);
const char *stage_config_cwd(const struct stage_config *c);

void stage_config_history(struct stage_config *c, const char *created_by, bool layer, int64_t created);
/* The line of each entry of the history, in its order; vec of uint32_t, appended. */
void stage_config_lines(const struct stage_config *c, struct vec *out);
/* The whole document, rootfs.diff_ids empty. Caller owns. */
json_t *stage_config_document(const struct stage_config *c, int64_t created);
