# @NAME@: an image in layers, made by Nix alone: a static busybox of this machine does the work, and it is what the image runs.
# Programs of nixpkgs: "cooper new NAME --pattern nix --upstream <archive of nixpkgs at a commit>" writes a dockerTools.buildLayeredImage.
let
  version = "@VERSION@";

  places = builtins.filter (place: builtins.pathExists (place + "/busybox")) [ /usr/bin /bin ];
  missing = throw "there is no busybox in /usr/bin and /bin; it has to be a static one (Debian: apt install busybox-static)";
  busybox = builtins.filterSource (path: type: baseNameOf path == "busybox") (builtins.head (places ++ [ missing ]));

  # Everything is a step of one script: tar.sh has the functions, command is what is done with them.
  step = name: command: derivation {
    inherit name busybox command;
    system = builtins.currentSystem;
    builder = "${busybox}/busybox";
    args = [ "sh" "-eu" ./tar.sh ];
  };

  # One derivation a layer: what changes often comes last.
  layers = [
    (step "@NAME@-base" ''
      mkdir -p root/bin root/etc root/tmp
      cp "$busybox/busybox" root/bin/busybox
      for applet in httpd sh; do ln -s busybox root/bin/$applet; done
      echo 'nobody:x:65532:65532:nobody:/:/bin/sh' >root/etc/passwd
      echo 'nogroup:x:65532:' >root/etc/group
      chmod 1777 root/tmp
      tar_of_folder root
    '')
    (step "@NAME@-www" ''
      mkdir -p root/srv
      cp -r ${./www} root/srv/www
      tar_of_folder root
    '')
  ];

  architecture = { x86_64-linux = "amd64"; aarch64-linux = "arm64"; }.${builtins.currentSystem};
  config = builtins.toJSON {
    User = "65532:65532";
    Env = [ "PATH=/bin" ];
    Entrypoint = [ "/bin/httpd" "-f" "-h" "/srv/www" ];
    Cmd = [ "-p" "8080" ];
    ExposedPorts."8080/tcp" = { };
  };
in
# A docker-archive: the layers under the names of their digests, then the config, and what names both at last.
step "@NAME@-${version}" ''
  ids= paths=
  for layer in ${toString layers}; do
    id=$(sha256 $layer)
    tar_folder $id
    tar_file $id/layer.tar $layer
    ids="$ids,\"sha256:$id\"" paths="$paths,\"$id/layer.tar\""
  done
  cat >config <<'END'
  {"architecture":"${architecture}","os":"linux","created":"1970-01-01T00:00:01Z","config":${config},
  END
  echo "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[''${ids#,}]}}" >>config
  echo "[{\"Config\":\"$(sha256 config).json\",\"RepoTags\":[\"@NAME@:${version}\"],\"Layers\":[''${paths#,}]}]" >manifest
  tar_file $(sha256 config).json config
  tar_file manifest.json manifest
  tar_end
''
