/* SPDX-License-Identifier: Apache-2.0 */
/* What a check found, as text for people, JSON, and SARIF (OASIS SARIF 2.1.0). */
#pragma once

#include "base/json.h"
#include "release/check.h"

#include <stdio.h>

void check_print_text(const struct check_report *r, FILE *out);
/* {"pins": [...], "violations": [...]}; docs/check.md has the keys. Caller drops it. */
json_t *check_json(const struct check_report *r);
/* A log of one run. Caller drops it. */
json_t *check_sarif(const struct check_report *r);
