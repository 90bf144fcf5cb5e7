//! Variants as the command line names them: each is a path that becomes a set of objects of its own. Without them there is
//! one set, of all files.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    slice,
};

use sealift_verify::{artifact::Limits, parameters::BindError};
use serde_json::{Value, json};

use crate::{
    cli::{render::RenderArgs, variant::VariantArgs},
    failure::{Failure, usage},
    manifests::Problems,
    output::Output,
    render::{self, Rendered},
    table::plain,
};

/// What becomes one set of objects.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// The variant; `None` for the one set of a release without variants.
    pub(crate) variant: Option<&'a str>,
    pub(crate) paths: &'a [PathBuf],
    rendering: RenderArgs,
}

/// The sets in the order of their names; there is nothing they could be mixed with.
pub(crate) fn parts<'a>(
    files: &'a [PathBuf],
    args: &'a VariantArgs,
    rendering: &RenderArgs,
) -> Result<Vec<Part<'a>>, Failure> {
    let VariantArgs { variant, variant_values } = args;
    if variant.is_empty() {
        return Ok(vec![Part { variant: None, paths: files, rendering: rendering.clone() }]);
    }
    let mut named: Vec<_> = variant.iter().collect();
    named.sort();
    if let Some(pair) = named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(usage(format!("variant {} is given twice", pair[0].0)));
    }
    let known = |name: &String| named.iter().any(|(variant, _)| variant == name);
    if let Some((name, _)) = variant_values.iter().find(|(name, _)| !known(name)) {
        return Err(usage(format!("--variant-values names {name}, which is no --variant")));
    }
    let part = |(name, path): &'a (String, PathBuf)| {
        // As all are rendered, with its own values after those of all.
        let mut rendering = rendering.clone();
        let own = variant_values.iter().filter(|(variant, _)| variant == name);
        rendering.values.extend(own.map(|(_, path)| path.clone()));
        Part { variant: Some(name), paths: slice::from_ref(path), rendering }
    };
    Ok(named.into_iter().map(part).collect())
}

impl Part<'_> {
    /// Its manifests; how they came to be tells of the variant.
    pub(crate) async fn rendered(&self, limits: &Limits, output: &mut Output) -> Result<Rendered, Failure> {
        if let (Some(name), [path]) = (self.variant, self.paths) {
            output.note(format_args!("variant   {name} from {}", plain(&path.display().to_string())));
        }
        let mut rendered = render::sources(self.paths, &self.rendering, limits, output).await?;
        for build in &mut rendered.builds {
            self.mark(build);
        }
        Ok(rendered)
    }

    fn mark(&self, build: &mut Value) {
        if let Some(name) = self.variant {
            build["variant"] = json!(name);
        }
    }
}

/// Fails for a variable that stands in none of the sets, given what stands nowhere in each: some may need it only.
pub(crate) fn all_stand(nowhere: &[Vec<String>]) -> Result<(), Problems> {
    let mut lists = nowhere.iter().map(|list| list.iter().collect::<BTreeSet<_>>());
    let first = lists.next().unwrap_or_default();
    let in_all = lists.fold(first, |all, list| all.intersection(&list).copied().collect());
    match in_all.is_empty() {
        true => Ok(()),
        false => Err(Problems::of(in_all.into_iter().map(|name| BindError::Unused(name.clone())))),
    }
}

/// The deepest folder that all variants lie in, as far as their paths tell; `None` without variants, or if only the
/// machine knows.
pub(crate) fn folder(args: &VariantArgs) -> Option<PathBuf> {
    let mut folders = args.variant.iter().map(|(_, path)| if path.is_dir() { Some(&**path) } else { path.parent() });
    let first = folders.next()??.to_owned();
    folders.try_fold(first, |common, path| {
        let path = path?;
        (common.is_absolute() == path.is_absolute()).then(|| shared(&common, path))
    })
}

fn shared(a: &Path, b: &Path) -> PathBuf {
    let both = a.components().zip(b.components());
    both.take_while(|(a, b)| a == b).map(|(part, _)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(variants: &[(&str, &str)], values: &[(&str, &str)]) -> VariantArgs {
        let list = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, path)| ((*name).into(), path.into())).collect();
        VariantArgs { variant: list(variants), variant_values: list(values) }
    }

    #[test]
    fn each_variant_is_a_part_with_its_values_after_those_of_all() {
        let args = args(&[("us", "chart"), ("eu", "chart")], &[("eu", "eu.yaml"), ("us", "us.yaml")]);
        let rendering = RenderArgs { values: vec!["all.yaml".into()], ..RenderArgs::default() };
        let parts = parts(&[], &args, &rendering).unwrap();
        let read: Vec<_> = parts.iter().map(|part| (part.variant, part.rendering.values.clone())).collect();
        let values = |own: &str| vec![PathBuf::from("all.yaml"), own.into()];
        assert_eq!(read, [(Some("eu"), values("eu.yaml")), (Some("us"), values("us.yaml"))]);
    }

    #[test]
    fn what_is_named_twice_or_nowhere_is_no_set_of_parts() {
        for args in
            [args(&[("eu", "a"), ("us", "b"), ("eu", "c")], &[]), args(&[("eu", "a")], &[("us", "values.yaml")])]
        {
            assert!(parts(&[], &args, &RenderArgs::default()).is_err());
        }
    }

    #[test]
    fn a_variable_has_to_stand_in_one_of_them() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(all_stand(&[list(&["A"]), list(&["B"])]).is_ok());
        assert!(all_stand(&[list(&[]), list(&["A"])]).is_ok());
        let error = all_stand(&[list(&["A", "B"]), list(&["B"])]).unwrap_err().to_string();
        assert!(error.contains("${B}") && !error.contains("${A}"), "{error}");
    }

    #[test]
    fn the_folder_that_all_lie_in() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |path: &str| temporary.path().join(path);
        ["overlays/eu", "overlays/us"].iter().for_each(|path| std::fs::create_dir_all(at(path)).unwrap());
        let of = |paths: &[&Path]| {
            let variant = paths.iter().enumerate().map(|(n, path)| (format!("v{n}"), path.to_path_buf())).collect();
            folder(&VariantArgs { variant, variant_values: vec![] })
        };
        let (eu, us, file) = (at("overlays/eu"), at("overlays/us"), at("us.yaml"));
        assert_eq!(of(&[&eu, &us]), Some(at("overlays")));
        assert_eq!(of(&[&eu, &eu]), Some(eu.clone()));
        assert_eq!(of(&[&eu, &file]), Some(temporary.path().to_owned()));
        assert_eq!(of(&[&eu, Path::new("us")]), None, "one is told from here and one from the root");
        assert_eq!(of(&[Path::new("eu.yaml"), Path::new("us.yaml")]), Some(PathBuf::new()));
        assert_eq!(of(&[]), None);
    }
}
