/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "remote/remote_internal.h"

#define PERIOD (CLOCK_SECOND / 10)

static void emit(struct progress *p)
{
	event_emit(p->events, (struct event){.type = EVENT_PROGRESS,
				      .step = p->step,
				      .name = p->name,
				      .done = p->done,
				      .total = p->total,
				      .unit = "bytes"});
	p->last = clock_monotonic();
}

void progress_start(struct progress *p, const struct transfer_io *io, const char *verb,
	const struct digest *d, uint64_t total)
{
	char text[DIGEST_TEXT_MAX];
	*p = (struct progress){.events = io->events, .step = io->step, .total = total};
	snprintf(p->name, sizeof(p->name), "%s %.19s", verb, digest_text(d, text));
	emit(p);
}

void progress_set(struct progress *p, uint64_t done)
{
	p->done = done;
	if (done == p->total || clock_monotonic() - p->last >= PERIOD)
		emit(p);
}
