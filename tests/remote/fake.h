/* SPDX-License-Identifier: Apache-2.0 */
/* A registry in memory with one image in every repository, that a test makes misbehave. */
#pragma once

#include "base/map.h"
#include "fixture.h"
#include "http/server.h"

#include <pthread.h>

struct fake {
	const struct test_image *image;
	/* Called first, under the lock; true: it answered. */
	bool (*hook)(struct fake *f, struct http_exchange *x, const struct buf *body);
	int left;           /* for the hook: how often to misbehave */
	const char *text;   /* for the hook */
	struct fake *other; /* for the hook */

	struct http_server *server;
	char *host;
	pthread_mutex_t lock;
	struct strvec log;    /* "GET /path", with " auth=..." and " range=..." where they were sent */
	struct map *uploaded; /* digest or "tag" -> struct buf */
	struct buf session;
	unsigned sessions;
};

void fake_start(struct fake *f, const struct test_image *image);
void fake_stop(struct fake *f);
/* Lines of the log that contain part. */
unsigned fake_count(struct fake *f, const char *part);
/* Drop what was uploaded. */
void fake_forget(struct fake *f);
const struct buf *fake_uploaded(struct fake *f, const char *key);

/* For hooks: the bytes asked for in the path, NULL if it is no blob of the image. */
const struct buf *fake_blob_of(const struct fake *f, const char *path);
void fake_answer(struct http_exchange *x, int status, const char *text);
void fake_answer_error(struct http_exchange *x, int status, const char *code);
/* A temporary file with these bytes. */
int fake_file(const void *p, size_t len);
