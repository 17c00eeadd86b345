//! What the target decides: the GPUs of its instances, their network, the driver of the nodes, number formats.

use super::Poser;
use crate::catalog::{CudaDriver, GpuCode, Instance, Precision, Rdma};
use crate::recipe::Component;
use crate::resolve::problem::{Binds, Line, Row, Rule, Set};

/// Components whose code for GPUs is compiled by others, so that what they left out cannot be added here.
const COMPILED: &[Component] = &[
    Component::Nccl,
    Component::Cudnn,
    Component::Pytorch,
    Component::Smp,
    Component::TransformerEngine,
    Component::FlashAttn,
];

impl Poser<'_> {
    pub(super) fn of_target(&mut self) {
        self.driver();
        for name in &self.question.instances {
            if let Some(instance) = self.catalog.instances.get(name) {
                self.gpu_code(instance);
                self.needs(instance);
                self.precision(instance);
                self.variables(instance);
            }
        }
    }

    /// The nodes have a driver, and each CUDA needs one that is new enough.
    fn driver(&mut self) {
        let (driver, cuda) = (self.domain(Component::Driver), self.domain(Component::Cuda));
        let row = |known: &CudaDriver| Row {
            given: cuda.within(&known.cuda),
            allows: driver.within(&known.driver),
            sentence: format!("CUDA {} needs driver {}", known.cuda.spoken(), known.driver.spoken()),
            fact: Some(known.fact.clone()),
        };
        let rows = self.catalog.cuda_driver.iter().map(row).collect();
        self.add(Rule::between(Component::Cuda, Component::Driver, rows));
        if let Some(version) = &self.question.driver {
            let own = driver.set(|value| value.version() == Some(version));
            let sentence = format!("the nodes have driver {version}");
            self.add(Rule::always(Component::Driver, own, sentence, None).because_of(Line::Driver));
        } else if let Some(oldest) = self.catalog.node_images.iter().min_by(|a, b| a.driver.cmp(&b.driver)) {
            let own = driver.set(|value| value.version() == Some(&oldest.driver));
            let sentence = format!("{} {} has driver {}", oldest.name, oldest.version, oldest.driver);
            self.add(Rule::always(Component::Driver, own, sentence, Some(oldest.fact.clone())));
        }
    }

    /// Every compiled component must hold code that the GPU can run; of versions that nobody looked into, that is unknown.
    fn gpu_code(&mut self, instance: &Instance) {
        for component in COMPILED {
            let domain = self.domain(*component);
            let rows: Vec<&GpuCode> =
                self.catalog.gpu_code.iter().filter(|code| code.component == *component).collect();
            let Some(first) = rows.first() else { continue };
            let looked_into = rows.iter().fold(Set::NONE, |set, code| set.or(domain.within(&code.versions)));
            let sentence = format!(
                "whether this {component} holds code for sm_{} ({}) is not known",
                instance.sm, instance.gpu
            );
            let rule = Rule::always(*component, looked_into, sentence, Some(first.fact.clone()));
            self.add(rule.binding(Binds::AsAdvice).because_of(Line::Instance(instance.name.clone())));
            for code in rows {
                let concerned = domain.within(&code.versions);
                // What holds for one CUDA only is judged where that CUDA is chosen.
                let (when, given) = match &code.cuda {
                    Some(range) => (Some(Component::Cuda), self.domain(Component::Cuda).within(range)),
                    None => (None, Set::ALL),
                };
                let runs = Runs::on(instance.sm, code);
                let sentence = match runs {
                    Runs::Native => continue,
                    Runs::Jit => format!(
                        "{component} {} has no code for sm_{} ({}): the driver compiles its PTX when a process starts",
                        code.versions.spoken(),
                        instance.sm,
                        instance.gpu
                    ),
                    Runs::No => format!(
                        "{component} {} holds code for {} and not for sm_{} ({})",
                        code.versions.spoken(),
                        shown(code),
                        instance.sm,
                        instance.gpu
                    ),
                };
                let row = Row { given, allows: concerned.not(), sentence, fact: Some(code.fact.clone()) };
                let binds = Binds::advice(runs == Runs::Jit);
                let rule = Rule { when, then: Some(*component), rows: vec![row], lines: Vec::new(), binds };
                self.add(rule.because_of(Line::Instance(instance.name.clone())));
            }
        }
    }

    /// What an instance family asks of components.
    fn needs(&mut self, instance: &Instance) {
        let needs: Vec<_> =
            self.catalog.instance_needs.iter().filter(|needs| needs.concerns(&instance.name)).collect();
        for needs in needs {
            let domain = self.domain(needs.component);
            let mut allows = domain.within(&needs.versions);
            // Without a version there is nothing to compare, and an absent plugin is another rule's business.
            allows = allows.not().and(domain.set(|value| value.version().is_some())).not();
            let rule = Rule::always(needs.component, allows, needs.because.clone(), Some(needs.fact.clone()));
            self.add(
                rule.binding(Binds::advice(needs.advice)).because_of(Line::Instance(instance.name.clone())),
            );
        }
        if instance.efa == 0 && self.way(Component::Efa).is_some() {
            let sentence = format!("{} has no EFA device: NCCL uses sockets there", instance.name);
            let rule = Rule::always(Component::Efa, Set::NONE, sentence, Some(instance.fact.clone()));
            self.add(rule.binding(Binds::AsAdvice).because_of(Line::Instance(instance.name.clone())));
        }
    }

    /// A number format needs a GPU that has it, and a CUDA that knows it.
    fn precision(&mut self, instance: &Instance) {
        for name in &self.question.precision {
            let rows: Vec<&Precision> =
                self.catalog.precisions.iter().filter(|format| format.format == *name).collect();
            let fits = |format: &&&Precision| {
                instance.sm >= format.from_sm && format.to_sm.is_none_or(|newest| instance.sm <= newest)
            };
            let because = |rule: Rule| {
                rule.because_of(Line::Precision(name.clone()))
                    .because_of(Line::Instance(instance.name.clone()))
            };
            let Some(format) = rows.iter().find(fits) else {
                let sentence = format!(
                    "{name} does not run on {} ({}, compute capability {}): {}",
                    instance.name,
                    instance.gpu,
                    dotted(instance.sm),
                    rows.iter().map(|format| format.because.as_str()).collect::<Vec<_>>().join("; ")
                );
                let fact = rows.first().map(|format| format.fact.clone());
                self.add(because(Rule::never(sentence, fact)));
                continue;
            };
            for (component, range) in &format.needs {
                let allows = self.domain(*component).within(range);
                self.add(because(Rule::always(
                    *component,
                    allows,
                    format.because.clone(),
                    Some(format.fact.clone()),
                )));
            }
        }
    }

    /// RDMA that is switched on where there is none ends the process.
    fn variables(&mut self, instance: &Instance) {
        const RDMA: &str = "FI_EFA_USE_DEVICE_RDMA";
        let asks = self.question.variables.get(RDMA).is_some_and(|value| !matches!(value.as_str(), "" | "0"));
        if asks && matches!(instance.rdma, Rdma::None) {
            let sentence = format!(
                "with {RDMA}=1 libfabric ends the process on an EFA device without RDMA, and {} has such (fi_efa(7)): it belongs to the job that runs on other instances",
                instance.name
            );
            let rule = Rule::never(sentence, Some(instance.fact.clone()))
                .because_of(Line::Variable(RDMA.to_owned()));
            self.add(rule.because_of(Line::Instance(instance.name.clone())));
        }
    }
}

/// How code runs on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Native,
    Jit,
    No,
}

impl Runs {
    /// A cubin runs on its own major version and newer minors; PTX is compiled for anything newer (CUDA C++ programming guide).
    fn on(sm: u32, code: &GpuCode) -> Self {
        if code.sm.iter().any(|built| built / 10 == sm / 10 && *built <= sm) {
            Self::Native
        } else if code.ptx.iter().any(|built| *built <= sm) {
            Self::Jit
        } else {
            Self::No
        }
    }
}

fn shown(code: &GpuCode) -> String {
    code.sm.iter().map(|sm| format!("sm_{sm}")).collect::<Vec<_>>().join(", ")
}

fn dotted(sm: u32) -> String {
    format!("{}.{}", sm / 10, sm % 10)
}
