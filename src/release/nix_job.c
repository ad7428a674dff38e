/* SPDX-License-Identifier: Apache-2.0 */
#include "release/nix_job.h"

#include "base/mem.h"
#include "engine/session.h"
#include "nix/nix.h"
#include "oci/images.h"

/* The files to evaluate, and what must live as long. */
struct nix_tree {
	struct session *session;
	char *root;
};

static void tree_fini(struct nix_tree *t)
{
	session_close(t->session);
	mem_freep(&t->root);
}

/* Expressions may read all of the repository: what is beside the file, too. */
static struct err *open_tree(struct engine *e, const struct nix_job *j, struct nix_tree *t)
{
	const struct session_options opt = {.created = j->created};

	if (!j->commit) {
		t->root = mem_strdup(j->root);
		return NULL;
	}
	TRY(session_open(e, &opt, &t->session));
	return session_checkout(t->session, j->git_dir, j->commit, j->cancel, &t->root);
}

static struct nix_request request(const struct nix_job *j, const struct nix_tree *t)
{
	return (struct nix_request){
		.root = t->root,
		.file = j->file,
		.labels = j->labels,
		.created = j->created,
		.events = j->events,
		.cancel = j->cancel,
	};
}

static struct err *fill_result(struct store *s, const struct nix_result *built, struct build_result *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};

	TRY(images_read(s, &built->manifest.digest, &m, &c));
	TRY(images_layers(s, &m, &c, &out->layers));
	out->manifest = built->manifest;
	out->config_digest = m.config.digest;
	out->inputs = built->inputs;
	out->pins = json_array();
	out->steps = 1;
	return NULL;
}

/* Nix tells no more of what a derivation is made from than its name. */
static void describe(const struct nix_job *j, const struct digest *inputs, struct evaluation *out)
{
	char text[DIGEST_TEXT_MAX];
	struct build_input *i = evaluation_add(out, INPUT_DERIVATION, j->file);

	out->inputs = *inputs;
	i->state = mem_strdup(digest_text(inputs, text));
	i->file = mem_strdup(j->file);
}

struct err *nix_job_build(struct engine *e, const struct nix_job *j, struct build_result *out)
{
	AUTO(tree_fini) struct nix_tree t = {0};
	struct nix_result built = {0};

	TRY(open_tree(e, j, &t));
	const struct nix_request rq = request(j, &t);
	TRY(nix_build(engine_store(e), &rq, &built));
	if (j->evaluated)
		describe(j, &built.inputs, j->evaluated);
	return fill_result(engine_store(e), &built, out);
}

struct err *nix_job_evaluate(struct engine *e, const struct nix_job *j, struct evaluation *out)
{
	AUTO(tree_fini) struct nix_tree t = {0};
	struct digest inputs;

	TRY(open_tree(e, j, &t));
	const struct nix_request rq = request(j, &t);
	TRY(nix_inputs(&rq, &inputs));
	evaluation_init(out);
	describe(j, &inputs, out);
	return NULL;
}

struct err *nix_job_relabel(struct engine *e, const struct nix_job *j, const struct evaluation *evaluated,
	const struct digest *image, struct descriptor *out)
{
	const struct nix_request rq = {.file = j->file, .labels = j->labels, .created = j->created};

	return nix_relabel(engine_store(e), &rq, &evaluated->inputs, image, out);
}
