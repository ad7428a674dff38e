/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test case as a text file: sections that begin with a line "=== NAME".
 *   === dockerfile        the input
 *   === ignore            the ignore file
 *   === request           lines "key value": build-arg, label, target, platform, no-cache, no-cache-stage,
 * allow-insecure, context, proxy
 *   === image REF         config document that the fake host gives for an image (REF normalized)
 *   === local NAME        .dockerignore of a named local context
 *   === ast|plan|config|warnings|error   what is expected; only those present are compared
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>

struct section {
	char *name;
	char *text;
};

struct case_file {
	char *path;
	struct vec sections; /* of struct section, in order */
};

bool case_read(const char *path, struct case_file *out);
bool case_write(const struct case_file *c);
void case_fini(struct case_file *c);
struct section *case_section(const struct case_file *c, const char *name); /* NULL if absent */
/* Sorted paths of dir/xxx.txt. */
void case_list(const char *dir, struct strvec *out);
/* Every file of the tests' folder must exist and pass; run says on stderr what did not. */
void case_run_folder(const char *folder, bool (*run)(const char *path));
