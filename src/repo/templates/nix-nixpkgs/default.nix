# @NAME@: what nixpkgs has, as an image in layers that change only with what they hold.
let
  version = "@VERSION@";

  # What everything comes from. A newer one: change the address, and the sum to what "nix-prefetch-url --unpack ADDRESS" says.
  nixpkgs = builtins.fetchTarball {
    url = "@UPSTREAM@";
    sha256 = "@SUM@";
  };
  pkgs = import nixpkgs { config = { }; overlays = [ ]; };

  # In place of busybox: a program of nixpkgs, such as pkgs.ntfy-sh, or one from its source, by pkgs.buildGoModule and the like. That the version
  # above is the program's can be said, too: put  assert pkgs.ntfy-sh.version == version;  before pkgs.dockerTools.
  page = pkgs.writeTextDir "index.html" ''
    <!doctype html>
    <title>@NAME@</title>
    <h1>@NAME@ ${version}</h1>
  '';
in
pkgs.dockerTools.buildLayeredImage {
  name = "@NAME@";
  tag = version;
  contents = [ pkgs.cacert ];
  extraCommands = "mkdir -m 1777 tmp";
  config = {
    User = "65532:65532";
    Entrypoint = [ "${pkgs.busybox}/bin/httpd" "-f" "-h" "${page}" ];
    Cmd = [ "-p" "8080" ];
    ExposedPorts."8080/tcp" = { };
  };
}
