/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "solver/executor.h"

void snapshot_fini(struct snapshot *s)
{
	strvec_fini(&s->layers);
}

void snapshot_copy(const struct snapshot *from, struct snapshot *to)
{
	strvec_push_all(&to->layers, strvec_list(&from->layers));
}

void source_pin_fini(struct source_pin *p)
{
	mem_freep(&p->text);
	p->digest = (struct digest){0};
}
