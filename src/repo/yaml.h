/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML documents (1.1, by libyaml) as a tree with places, for settings and manifests. Bounded: depth, nodes,
 * no aliases (refused with the line), no duplicate keys. Scalars are text: nothing is guessed about numbers
 * or booleans (the getters below decide). Ownership: the tree lives in the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

enum yaml_kind { YAML_EMPTY, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	const char *text; /* SCALAR */
	bool quoted;
	uint32_t line, column;    /* from 1 */
	size_t count;             /* of items or pairs */
	struct yaml_node **items; /* LIST, and the values of a MAP */
	struct yaml_node **keys;  /* of a MAP: scalars */
};

/* One document; an empty one gives YAML_EMPTY. Errors: "path:line:column: ...". */
MUST_USE struct err *yaml_parse(struct arena *a, struct str text, const char *path, struct yaml_node **out);
/* Every key of a map must be in allowed (NULL-terminated): ERR_INVALID with line and a suggestion. A node of
 * another kind than MAP or EMPTY is an error too. */
MUST_USE struct err *yaml_check_keys(
	const struct yaml_node *map, const char *path, const char *const *allowed);
/* NULL if absent (also for YAML_EMPTY). */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* Absent leaves *out alone; a wrong kind is ERR_INVALID with the place. *out is borrowed from the arena. */
MUST_USE struct err *yaml_get_text(
	const struct yaml_node *map, const char *key, const char *path, const char **out);
MUST_USE struct err *yaml_get_bool(const struct yaml_node *map, const char *key, const char *path, bool *out);
/* "20GB", "512MiB", "1048576": bytes. */
MUST_USE struct err *yaml_get_size(
	const struct yaml_node *map, const char *key, const char *path, uint64_t *out);
/* A list of scalars, or one scalar as a list of one. */
MUST_USE struct err *yaml_get_texts(
	const struct yaml_node *map, const char *key, const char *path, struct strvec *out);
