/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dagger session API on cooper's graph: queries of official SDKs, answered. What is served stands in
 * schema.graphqls.
 *
 * Objects (a container, a directory, ...) are immutable and live as long as the session; a field that gives
 * one is resolved once, so that the same chain of calls is the same object, however often clients send it.
 * Nothing runs until an answer needs it. An object's id names the calls that made it, and is good in every
 * session on the same store. Threads: queries may come from several at once.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "engine/session.h"

struct dagger;

struct dagger_options {
	struct session *session;     /* borrowed: must outlive *out */
	const char *workdir;         /* what relative paths of the host are relative to; absolute */
	struct event_stream *events; /* may be NULL */
};
MUST_USE struct err *dagger_new(const struct dagger_options *opt, struct dagger **out);
/* Stops what services still run. */
void dagger_free(struct dagger *d);

/* Answer one GraphQL request; the JSON body is appended. ERR_CANCELED when cancel was set before the end. */
MUST_USE struct err *dagger_execute(struct dagger *d, struct str query, struct str operation,
	const json_t *variables, const struct cancel *cancel, struct buf *response);

/* The container of that id as something to make an image of. What is borrowed lives as long as d. */
MUST_USE struct err *dagger_image_of(struct dagger *d, const char *id, struct session_variant *out);

/* ---- over HTTP: POST /query with Basic authorization, the token as the user ---- */

struct dagger_server;
/* On a free port of 127.0.0.1. */
MUST_USE struct err *dagger_serve(struct dagger *d, const char *token, struct dagger_server **out);
unsigned dagger_server_port(const struct dagger_server *s);
/* Cancels what is under way. */
void dagger_server_stop(struct dagger_server *s);
