/* SPDX-License-Identifier: Apache-2.0 */
/* A dockerfile_host that answers from a case file: an image is there if it has a section, or is one of a few
 * plain ones. */
#pragma once

#include "case_file.h"
#include "dockerfile/frontend.h"

struct fake_host {
	struct dockerfile_host host;
	const struct case_file *file; /* may be NULL */
	struct strvec asked;          /* image references, in order */
};
void fake_host_init(struct fake_host *f, const struct case_file *file);
void fake_host_fini(struct fake_host *f);
