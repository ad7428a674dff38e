/* SPDX-License-Identifier: Apache-2.0 */
/* Showing what differs between two evaluations (vec of struct input_change). */
#pragma once

#include "base/json.h"
#include "base/vec.h"
#include "engine/evaluate.h"

#include <stdio.h>

/* [{"input","name","from"?,"to"?,"text"}]. Caller owns. */
json_t *input_changes_json(const struct vec *changes);
/* A line each, the first dozen; indent stands before each. */
void input_changes_print(FILE *out, const struct vec *changes, const char *indent);
