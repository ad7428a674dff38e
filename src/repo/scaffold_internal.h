/* SPDX-License-Identifier: Apache-2.0 */
/* The templates as they are compiled in. */
#pragma once

#include "repo/scaffold.h"

#include <stdbool.h>

struct scaffold_template {
	const char *set;  /* folder of templates/: "go-upstream" */
	const char *path; /* in the container's folder */
	bool executable;
	const char *text;
};
extern const struct scaffold_template scaffold_templates[]; /* ends with a set NULL */
MUST_USE struct err *scaffold_check_name(const char *name);
