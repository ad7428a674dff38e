/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of a session. */
#pragma once

#include "engine/engine_internal.h"
#include "engine/session.h"

/* What was said of a step: that it is cached is said once. */
enum told { TOLD_NOTHING, TOLD_CACHED, TOLD_RUN };

struct session {
	struct engine *engine;
	struct session_options opt;
	struct build_request rq; /* what every build of this session has in common */
	struct executor *ex;
	struct graph *graph;
	int64_t epoch, created;
	struct event_stream *events; /* passes on to the caller's */
	struct vec told;             /* of enum told by step; under the stream's lock */
	pthread_mutex_t lock;        /* of what follows, and of making nodes */
	struct map *pins;            /* definition digest text -> struct source_pin: never replaced */
	struct map *pinning;         /* those that are being looked at now */
	pthread_cond_t pinned;
	struct map *secrets;  /* id -> struct buf */
	struct map *failures; /* definition digest text -> struct failure: programs that failed */
};

/* Say in e, the failure of solving n, which program it was. Returns e. */
MUST_USE struct err *session_blame(struct session *s, const struct node *n, struct err *e);

/* A build over the session's executor and graph. */
struct build session_build(struct session *s, const struct build_request *rq);
/* Of what the build holds only the pins are the caller's to free, and what was set by the caller. */
void session_build_fini(struct build *b);
