/* SPDX-License-Identifier: Apache-2.0 */
/* One step of the scrub; where it is stands in the store, so that it goes on after a restart. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "store/store.h"

/* Reads so much that all blobs are read in `every` when a step comes each `step` (ns). */
MUST_USE struct err *scrub_step(struct store *s, int64_t every, int64_t step, const struct cancel *cancel);
