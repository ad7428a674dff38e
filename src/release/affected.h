/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which containers would come out different than at an earlier commit, and why: both commits' builds are
 * evaluated and their definition digests compared. A file that no step reads affects nothing; a helper, a
 * base image or a build argument that changes a step does. Threads: one.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
#include "repo/repo.h"

struct affected_request {
	struct repo *repo;
	const char *base;           /* NULL: see affected_find */
	const char *head;           /* NULL: HEAD */
	bool work_tree;             /* the work tree as if it were committed, instead of head */
	const struct strvec *names; /* of containers; empty: all */
	struct event_stream *events;
	const struct cancel *cancel;
};

enum affected_state {
	AFFECTED_NOT,
	AFFECTED_CHANGED, /* or could not be evaluated at base: whatever it was, it is another one */
	AFFECTED_NEW,     /* was not there */
	AFFECTED_UNTOLD,  /* it could not be evaluated at head: error says why */
};
const char *affected_state_name(enum affected_state s); /* "unaffected", "changed", "new", "unknown" */

struct affected_build {
	char *container;
	enum build_kind kind;
	enum affected_state state;
	/* Unset where it was not evaluated: a Dockerfile of which no file changed needs no look. */
	struct digest base_inputs, head_inputs;
	struct vec changes; /* of struct input_change */
	char *error;
};

struct affected {
	struct commit base; /* id "" if head has nothing before it: then all is new */
	struct commit head;
	char *base_is;       /* for people: "merge base with origin/main" */
	struct vec builds;   /* of struct affected_build, by name and kind */
	struct strvec gone;  /* containers of base that head has not */
	struct strvec dirty; /* changed files of the work tree, the first few, where they do not count */
};
void affected_fini(struct affected *a);

/*
 * Without base: the best common ancestor of head and main; where that is head itself (on main), its first
 * parent. ERR_NOT_FOUND with the available ones when a name is in neither commit.
 */
MUST_USE struct err *affected_find(struct engine *e, const struct affected_request *rq, struct affected *out);
