/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read the machine's settings. */
#pragma once

#include "engine/settings.h"
#include "repo/yaml.h"

/* "14d", "36h", "90m", "30s". */
MUST_USE struct err *settings_duration(
	const char *text, const char *path, const struct yaml_node *at, int64_t *out);
/* The section "registry". */
MUST_USE struct err *settings_parse_registry(
	struct registry_policy *p, const struct yaml_node *map, const char *path);
