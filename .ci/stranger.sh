# To be sourced: `stranger [NAME=value …] command …` runs a command in an environment with next to nothing in it.

# PATH, HOME, and what this machine needs to reach its registries: certificates, proxies, indexes. Nothing that begins with PYTHON.
stranger() {
    local keep=("PATH=$PATH" "HOME=$HOME") name
    while IFS= read -r name; do
        case $name in
            PYTHON*) ;;
            SSL_CERT_* | *_CA_BUNDLE | *_CA_CERTS | *_SSL_CAINFO | PIP_* | UV_* | NPM_CONFIG_* | npm_config_*)
                keep+=("$name=${!name}") ;;
            *_proxy | *_PROXY) keep+=("$name=${!name}") ;;
        esac
    done < <(compgen -e)
    env -i "${keep[@]}" "$@"
}
