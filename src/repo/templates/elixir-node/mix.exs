defmodule Service.MixProject do
  use Mix.Project

  def project do
    [
      app: :service,
      version: System.get_env("VERSION", "0.0.0"),
      elixir: "~> 1.14",
      # Nodes do not talk to each other (RELEASE_DISTRIBUTION is none); a cookie that mix makes up would be another one in each build.
      releases: [service: [cookie: "unused", include_executables_for: [:unix]]]
    ]
  end

  def application do
    [mod: {Service.Application, []}, extra_applications: [:logger]]
  end
end
