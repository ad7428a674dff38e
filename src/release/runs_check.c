/* SPDX-License-Identifier: Apache-2.0 */
/* What may be queued: a server gets it from others. */
#include "release/runs_internal.h"

#include "oci/reference.h"
#include "repo/repo.h"

#include <string.h>

#define TEXT_MAX 1024

/* One line of readable text. */
static struct err *check_text(const char *text, const char *what, bool needed)
{
	if (!text || !*text)
		return needed ? err_new(ERR_INVALID, "a run needs its %s", what) : NULL;
	size_t len = strlen(text);
	if (len > TEXT_MAX)
		return err_new(ERR_INVALID, "the %s of a run is longer than %d bytes", what, TEXT_MAX);
	if (!str_is_utf8(str_n(text, len)))
		return err_new(ERR_INVALID, "the %s of a run is not UTF-8", what);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
			return err_new(ERR_INVALID, "the %s of a run has a control character", what);
	return NULL;
}

static struct err *check_commit(const char *id)
{
	if (id && strlen(id) == 40 && strspn(id, "0123456789abcdef") == 40)
		return NULL;
	return err_new(ERR_INVALID, "a run needs its commit as 40 hexadecimal digits");
}

static struct err *check_kind(const char *kind)
{
	for (int k = 0; k < BUILD_KINDS; k++)
		if (cstr_eq(kind, build_kind_name((enum build_kind)k)))
			return NULL;
	return err_new(ERR_INVALID, "a job is container.py, dockerfile or nix, not \"%s\"", kind ? kind : "");
}

static struct err *check_job(const struct job *j)
{
	AUTO(reference_fini) struct reference ref = {0};

	TRY(check_kind(j->kind));
	TRY(check_text(j->version, "version", true));
	TRY(check_text(j->tag, "tag", true));
	TRY(check_text(j->reference, "reference", true));
	TRY(check_text(j->label, "label", false));
	TRY(reference_parse(j->reference, false, &ref));
	if (!cstr_eq(ref.tag, j->tag))
		return err_new(ERR_INVALID, "the reference %s has not the tag %s", j->reference, j->tag);
	return NULL;
}

struct err *runs_check_spec(const struct run *spec)
{
	if (spec->via != RUN_VIA_LOCAL && spec->via != RUN_VIA_SERVER)
		return err_new(ERR_INVALID, "a run is worked off locally or by a server");
	TRY(check_text(spec->repository, "repository", false));
	TRY(check_text(spec->container, "container", true));
	TRY(check_commit(spec->commit));
	TRY(check_text(spec->ref, "ref", false));
	TRY(check_text(spec->subject, "subject", false));
	TRY(check_text(spec->requested_by, "requester", false));
	if (!spec->jobs.len || spec->jobs.len > RUN_JOBS_MAX)
		return err_new(ERR_INVALID, "a run has 1 to %d jobs, not %zu", RUN_JOBS_MAX, spec->jobs.len);
	for (size_t i = 0; i < spec->jobs.len; i++)
		TRY(check_job(vec_at(&spec->jobs, i)));
	return NULL;
}
