/* SPDX-License-Identifier: Apache-2.0 */
/* What "release" plans and did, for people and as JSON. */
#pragma once

#include "base/json.h"
#include "release/release.h"
#include "release/runs.h"

#include <stdio.h>

void show_plan(FILE *out, const struct release_plan *p);
/* run: as far as it came; NULL: nothing was queued. The caller's. */
json_t *release_to_json(const struct release_plan *p, const struct run *run);
