/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting what the manifests pin: which tag, in which places, and one commit of it. Nothing is written before
 * every change is known to be possible.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "repo/manifests.h"
#include "repo/repo.h"

/* One pin and what it is to become. All borrowed. */
struct pin_target {
	const struct pin *pin; /* of a scan of the work tree */
	const char *tag;
	const char *digest; /* of the same image; used where the pin has one, NULL else */
	bool env;           /* a PIN_ENV may be changed */
};
/* Write them into the work tree: all or, when one is refused, none. files (may be NULL) gets the files that
 * differ now, sorted. */
MUST_USE struct err *pins_write(struct repo *r, const char *prefix, const struct pin_target *targets,
	size_t count, struct strvec *files);
/* The files that they would change, sorted, and (diff may be NULL) the unified diff: nothing is written. */
MUST_USE struct err *pins_preview(struct repo *r, const char *prefix, const struct pin_target *targets,
	size_t count, struct strvec *files, struct buf *diff);
/* "repo/path:12: reg/ns/web v1-1111111 -> v2-2222222", without a line end. Caller frees. */
char *pin_target_text(const struct pin_target *t);
/* Has the pin that value already? */
bool pin_target_is_set(const struct pin_target *t);
