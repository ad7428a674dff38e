/* SPDX-License-Identifier: Apache-2.0 */
/* Runs and jobs as text for people. */
#pragma once

#include "base/vec.h"
#include "release/runs.h"

#include <stdio.h>

void show_run_list(FILE *out, const struct vec *runs);
void show_run(FILE *out, const struct run *run);
/* What a run that has ended published, a line a job. */
void show_results(FILE *out, const struct run *run);
