/* SPDX-License-Identifier: Apache-2.0 */
/* What there is at a registry, or in the one of the local store. */
#include "registry/registry.h"
#include "release/release_internal.h"

struct err *published_tags(
	struct engine *e, bool embedded, const char *image, const struct transfer_io *io, struct strvec *out)
{
	AUTO(reference_fini) struct reference ref = {0};
	struct remote *remote = NULL;

	TRY(reference_parse(image, false, &ref));
	if (embedded)
		return registry_tags(engine_store(e), ref.repository, out);
	TRY(engine_remote(e, &remote));
	return remote_tags(remote, &ref, io, out);
}

struct err *published_here(struct engine *e, const struct reference *ref, struct descriptor *out, bool *found)
{
	if (ref->tag)
		return registry_get(engine_store(e), ref->repository, ref->tag, out, found);
	return registry_get_digest(engine_store(e), ref->repository, &ref->digest, out, found);
}

struct err *published_presence(struct engine *e, bool embedded, const struct reference *ref, bool want_digest,
	const struct transfer_io *io, struct presence *out)
{
	AUTO(descriptor_fini) struct descriptor d = {0};
	struct remote *remote = NULL;
	bool found = false;

	if (embedded) {
		TRY(published_here(e, ref, &d, &found));
		*out = (struct presence){.status = found ? 200 : 404, .digest = d.digest};
		return NULL;
	}
	TRY(engine_remote(e, &remote));
	return remote_presence(remote, ref, want_digest, io, out);
}
