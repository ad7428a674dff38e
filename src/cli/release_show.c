/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/release_show.h"

#include "base/mem.h"
#include "cli/terminal.h"

static json_t *job_json(const struct release_job *j, const struct job *done)
{
	json_t *o = json_object();

	json_set_text(o, "kind", build_kind_name(j->kind));
	json_set_text(o, "version", j->version);
	json_set_text(o, "tag", j->tag);
	json_set_text(o, "reference", j->reference);
	json_set_text(o, "runner", j->runner);
	if (!done)
		return o;
	json_set_text(o, "status", job_status_name(done->status));
	json_set_text(o, "digest", done->digest);
	json_set_text(o, "inputs", done->inputs);
	if (done->already)
		json_object_set_new(o, "already", json_true());
	json_set_text(o, "error", done->error);
	return o;
}

json_t *release_to_json(const struct release_plan *p, const struct run *run)
{
	json_t *o = json_object(), *jobs = json_array();

	json_set_text(o, "container", p->container.name);
	json_set_text(o, "commit", p->commit.id);
	json_set_text(o, "source", p->source_url);
	json_object_set_new(o, "dirty", json_boolean(p->dirty));
	json_object_set_new(o, "unpushed", json_boolean(p->unpushed));
	if (run) {
		json_object_set_new(o, "run", json_integer(run->number));
		json_set_text(o, "via", run_via_name(run->via));
		json_set_text(o, "status", job_status_name(run->status));
	}
	for (size_t i = 0; i < p->jobs.len; i++) {
		const struct job *done = run && i < run->jobs.len ? vec_at(&run->jobs, i) : NULL;
		json_array_append_new(jobs, job_json(vec_at(&p->jobs, i), done));
	}
	json_object_set_new(o, "jobs", jobs);
	return o;
}

void show_plan(FILE *out, const struct release_plan *p)
{
	AUTO_FREE char *subject = terminal_line(p->commit.subject ? p->commit.subject : "");

	fprintf(out, "container  %s (%s)\n", p->container.name, p->container.kinds);
	fprintf(out, "commit     %s  %s\n", p->commit.id, subject);
	if (p->dirty)
		fprintf(out, "work tree  changed: the tag says so, and nothing may pin it\n");
	else if (p->unpushed)
		fprintf(out, "pushed     no: the tag says so, and nothing may pin it\n");
	for (size_t i = 0; i < p->jobs.len; i++) {
		const struct release_job *j = vec_at(&p->jobs, i);
		fprintf(out, "%-12s -> %s  (runner %s)\n", build_kind_name(j->kind),
			j->reference ? j->reference : "-", j->runner && *j->runner ? j->runner : "-");
	}
}
