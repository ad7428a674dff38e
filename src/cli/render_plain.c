/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "cli/render_internal.h"

static void output_lines(FILE *out, struct display *d, const struct event *e)
{
	struct shown_step *s = display_step(d, e->step);
	bool open = s->line_open;

	for (size_t at = 0; at < e->text.len;) {
		size_t end = at;
		while (end < e->text.len && e->text.ptr[end] != '\n')
			end++;
		if (!open)
			fprintf(out, "#%u %.3f ", e->step, (double)(clock_monotonic() - s->started) / 1e9);
		fwrite(e->text.ptr + at, 1, end - at, out);
		open = end == e->text.len;
		if (!open)
			fputc('\n', out);
		at = end + 1;
	}
}

/* One line when it is through: lines cannot be redrawn. */
static void transfer_line(FILE *out, struct display *d, const struct event *e)
{
	const struct shown_transfer *t = display_finished(d, e);
	char size[CLOCK_TEXT_MAX], took[CLOCK_TEXT_MAX];

	if (t)
		fprintf(out, "%s: %s in %s\n", t->name, size_text(t->total, size),
			clock_duration(clock_monotonic() - t->started, took));
}

void plain_event(FILE *out, struct display *d, const struct event *e)
{
	struct shown_step *s = display_step(d, e->step);
	char took[CLOCK_TEXT_MAX];
	AUTO_BUF struct buf warning = {0};

	if (s->line_open && e->type != EVENT_OUTPUT && e->type != EVENT_PROGRESS)
		fputc('\n', out);
	switch (e->type) {
	case EVENT_PLAN:
		break;
	case EVENT_PROGRESS:
		transfer_line(out, d, e);
		break;
	case EVENT_STARTED:
		fprintf(out, "#%u %s\n", e->step, e->name ? e->name : "");
		break;
	case EVENT_CACHED:
		fprintf(out, "#%u %s\n#%u CACHED\n", e->step, e->name ? e->name : "", e->step);
		break;
	case EVENT_OUTPUT:
		output_lines(out, d, e);
		break;
	case EVENT_DONE:
		fprintf(out, "#%u DONE %s\n", e->step, clock_duration(e->duration, took));
		break;
	case EVENT_FAILED:
		if (e->name && s->started == 0)
			fprintf(out, "#%u %s\n", e->step, e->name);
		fprintf(out, "#%u ERROR: " STR_FMT "\n", e->step, STR_ARG(e->text));
		break;
	case EVENT_CANCELED:
		fprintf(out, "#%u CANCELED\n", e->step);
		break;
	case EVENT_WARNING:
		warning_text(e, &warning);
		fputs(buf_cstr(&warning), out);
		break;
	case EVENT_INFO:
		fprintf(out, STR_FMT "\n", STR_ARG(e->text));
		break;
	}
}
