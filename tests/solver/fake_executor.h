/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An executor without files: a layer is a text. EXEC's argv[0] says what a step does:
 *   "echo T"   its layer is T whatever its inputs are
 *   "append T" its layer is its input's text followed by T
 *   "fail"     fails with status 7        "sleep"  waits for cancellation
 * An IMAGE's layer and pin are its reference; a LOCAL's content is what fake_set_local said.
 */
#pragma once

#include "solver/executor.h"
#include "store/store.h"

#include <pthread.h>

struct fake {
	struct executor base;
	struct store *store;
	pthread_mutex_t lock;
	struct strvec ran; /* what EXEC and FILE nodes ran, in order of ending */
	unsigned fetched, at_once, most_at_once;
	char *local;
	int64_t delay; /* ns a step takes */
};

void fake_init(struct fake *f, struct store *s);
void fake_fini(struct fake *f);
void fake_set_local(struct fake *f, const char *content);
/* Number of times a step with that argv text ran. */
unsigned fake_count(const struct fake *f, const char *what);
