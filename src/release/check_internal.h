/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the check share. */
#pragma once

#include "base/map.h"
#include "release/check.h"
#include "release/release_internal.h"

/* What is looked at. */
struct check_scope {
	bool all;
	char *text;
	struct map *units; /* what changed: unit of each path -> NULL */
};
void check_scope_fini(struct check_scope *s);
MUST_USE struct err *check_scope_find(
	const struct check_request *rq, const struct repo_config *cfg, struct check_scope *out);
/* Has anything changed that belongs with this path: in the same folder of a service, or of a container
 * ("containers/web/")? */
bool check_scope_has(const struct check_scope *s, const struct repo_config *cfg, const char *path);

/* Has any of the manifests changed? */
bool check_scope_has_manifests(const struct check_scope *s, const struct repo_config *cfg);

struct check {
	const struct check_request *rq;
	struct repo_config config;
	struct check_scope scope;
	struct check_report *out;
};

/* hint may be NULL. */
void check_found(struct check *c, enum check_rule rule, const char *file, uint32_t line, const char *hint,
	const char *fmt, ...) PRINTF(6, 7);
/* The same; a text that begins with file:line: or file:line:column: tells the line and loses that beginning.
 */
void check_found_text(struct check *c, enum check_rule rule, const char *file, uint32_t line,
	const char *hint, const char *text);

MUST_USE struct err *check_manifests(struct check *c);
MUST_USE struct err *check_versions(struct check *c);

/* Ask about those pins that are valid; reports what is not in order, and gives revision labels to the traces
 * that need one. traces: one for each pin of the report. */
MUST_USE struct err *check_registry(struct check *c, struct trace *traces);
