/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "nix/nix_internal.h"
#include "sys/process.h"
#include "sys/process_stream.h"

#include <stdarg.h>
#include <stdlib.h>

/* What Nix says of a failure is at the end, below the output of what it built. */
#define SAID_MAX (128u << 10)
/* Paths of results: one is wanted. */
#define OUTPUT_MAX (64u << 10)

/* ---- steps ---- */

void nix_step_begin(struct nix_step *s, const struct nix_request *rq, uint32_t number, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	*s = (struct nix_step){
		.rq = rq, .number = number, .name = mem_vprintf(fmt, ap), .started = clock_monotonic()};
	va_end(ap);
	event_emit(rq->events, (struct event){.type = EVENT_STARTED, .step = number, .name = s->name});
}

void nix_step_end(struct nix_step *s, const struct err *e)
{
	AUTO_FREE char *text = e ? err_text(e) : NULL;

	event_emit(s->rq->events, (struct event){.type = !e                            ? EVENT_DONE
							 : err_kind(e) == ERR_CANCELED ? EVENT_CANCELED
										       : EVENT_FAILED,
					  .step = s->number,
					  .name = s->name,
					  .text = str_c(text),
					  .exit_code = err_exit_code(e),
					  .duration = clock_monotonic() - s->started});
	mem_freep(&s->name);
	buf_fini(&s->said);
}

void nix_step_errout(void *step, struct str text)
{
	struct nix_step *s = step;

	buf_addstr(&s->said, text);
	if (s->said.len > 2 * SAID_MAX)
		buf_consume(&s->said, s->said.len - SAID_MAX);
	event_emit(s->rq->events,
		(struct event){
			.type = EVENT_OUTPUT, .step = s->number, .name = s->name, .stream = 2, .text = text});
}

/* ---- programs ---- */

/* Where installers put it, of which a service or a cron job has nothing in its PATH. */
static void add_usual_places(struct buf *path)
{
	const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");

	buf_adds(path, ":/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin");
	if (home && *home)
		buf_addf(path, ":%s/.nix-profile/bin:%s/.local/state/nix/profile/bin", home, home);
	if (state && *state)
		buf_addf(path, ":%s/nix/profile/bin", state);
}

struct err *nix_find(const char *name, char **program)
{
	const char *set = getenv("PATH");
	AUTO_BUF struct buf path = {0};

	buf_adds(&path, set ? set : "/usr/local/bin:/usr/bin:/bin");
	add_usual_places(&path);
	struct err *e = process_find(name, buf_cstr(&path), program);
	if (err_kind(e) != ERR_NOT_FOUND)
		return e;
	err_free(e);
	return err_hint(err_new(ERR_NOT_FOUND,
				"the program %s of Nix was not found, neither in PATH nor in "
				"/nix/var/nix/profiles/default/bin nor in ~/.nix-profile/bin",
				name),
		"a default.nix is built by Nix: apt install nix-bin (Debian, Ubuntu), or its installer, "
		"https://nixos.org/download");
}

/* builtins.getEnv reads what there is, and a streaming script may print it. */
const char *const nix_unset[] = {"COOPER_TOKEN", NULL};

static struct err *run(struct nix_step *step, const char *program, const char *const *args, struct buf *out)
{
	AUTO(process_stream_freep) struct process_stream *s = NULL;
	AUTO_STRVEC struct strvec argv = {0};

	strvec_push(&argv, program);
	strvec_push_all(&argv, args);
	const struct process_stream_request rq = {
		.argv = strvec_list(&argv),
		.unset = nix_unset,
		.dir = step->rq->root,
		.as_outer_user = true,
		.on_errout = nix_step_errout,
		.ctx = step,
		.cancel = step->rq->cancel,
	};
	TRY(process_stream_start(&rq, &s));
	for (;;) {
		char part[4096];
		size_t n = sizeof(part);
		TRY(process_stream_read(s, part, &n));
		if (n == 0)
			return NULL;
		if (out->len + n > OUTPUT_MAX)
			return err_new(ERR_INVALID, "%s gives far more than one result", step->rq->file);
		buf_add(out, part, n);
	}
}

struct err *nix_run(struct nix_step *step, const char *name, const char *const *args, struct buf *out)
{
	AUTO_FREE char *program = NULL;

	TRY(nix_find(name, &program));
	struct err *e = run(step, program, args, out);
	return nix_explain(buf_str(&step->said), step->rq, e);
}
