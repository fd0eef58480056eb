//! Writing the configuration file, with its former texts kept beside it (methods.md 8.6): `.bak` is
//! the one before, `.bak.1` to `.bak.4` are older. It doesn't look into the texts.

use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{CONFIG_BYTES, CONFIG_GENERATIONS};
use crate::sys::Files;

/// Replaces the file, durably. At any moment the file holds the old or the new text, and an old text
/// is in its first generation before the new one is in the file.
///
/// # Errors
/// What the system says; the file holds its old text then.
pub async fn replace(files: &dyn Files, path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it points to is replaced.
    let path = match files.real_path(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    match files.read(&path, CONFIG_BYTES) {
        Ok(old) if old == text.as_bytes() => return Ok(()),
        Ok(old) => {
            for generation in (1..CONFIG_GENERATIONS).rev() {
                match files.rename(&name(&path, generation - 1), &name(&path, generation)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            files.replace(name(&path, 0), old).await?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
                files.create_dir(dir)?;
            }
        }
        Err(error) => return Err(error),
    }
    files.replace(path, text.as_bytes().to_vec()).await
}

/// The file of a generation, 0 the youngest.
fn name(path: &Path, generation: usize) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".bak");
    if generation > 0 {
        name.push(format!(".{generation}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Chance;
    use crate::sys::sim::SimFiles;

    const FILE: &str = "/etc/barnacle/barnacle.json";

    fn text(files: &SimFiles, name: &str) -> Option<String> {
        let bytes = files.read(Path::new(name), 1000).ok()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn five_former_texts_are_kept_and_the_same_text_is_not_written_again() {
        let files = SimFiles::new();
        for number in 0..8 {
            smol::block_on(replace(&files, Path::new(FILE), &format!("text {number}"))).unwrap();
        }
        let before = files.stats();
        smol::block_on(replace(&files, Path::new(FILE), "text 7")).unwrap();
        assert_eq!(files.stats().bytes_written, before.bytes_written);
        assert_eq!(text(&files, FILE).unwrap(), "text 7");
        for (suffix, number) in [(".bak", 6), (".bak.1", 5), (".bak.2", 4), (".bak.3", 3), (".bak.4", 2)] {
            assert_eq!(text(&files, &format!("{FILE}{suffix}")).unwrap(), format!("text {number}"), "{suffix}");
        }
        assert_eq!(text(&files, &format!("{FILE}.bak.5")), None);
    }

    #[test]
    fn a_power_cut_at_any_write_leaves_the_old_or_the_new_text() {
        for cut in 0..12 {
            for seed in 0..20 {
                let files = SimFiles::new();
                for number in 0..6 {
                    smol::block_on(replace(&files, Path::new(FILE), &format!("text {number}"))).unwrap();
                }
                files.cut_after(cut);
                smol::block_on(replace(&files, Path::new(FILE), "text 6")).unwrap();
                let after = files.power_cut(&Chance::seeded(seed));
                let found = text(&after, FILE).unwrap();
                assert!(found == "text 5" || found == "text 6", "cut {cut} seed {seed}: {found}");
                if found == "text 6" {
                    assert_eq!(text(&after, &format!("{FILE}.bak")).unwrap(), "text 5", "cut {cut} seed {seed}");
                }
                for generation in [".bak", ".bak.1", ".bak.2", ".bak.3", ".bak.4"] {
                    let former = text(&after, &format!("{FILE}{generation}")).unwrap_or_else(|| "text".to_owned());
                    assert!(former.starts_with("text"), "cut {cut} seed {seed}: {generation} {former:?}");
                }
            }
        }
    }
}
